// The page asks for the state every second and draws it anew where it has changed.
const $ = (id) => document.getElementById(id);
let last = "";

function make(tag, text, attributes = {}) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  return e;
}

// button does an operation of the cloud; its label with what it is about is what tests and screen readers find.
function button(operation, about, label = operation) {
  const name = [operation, about.instance, about.eni, about.address].filter(Boolean).join(" ");
  const b = make("button", label, { "aria-label": name });
  b.onclick = () => act({ operation, ...about });
  return b;
}

async function act(click) {
  $("message").textContent = "";
  try {
    const r = await fetch("/lab/do", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(click) });
    const said = await r.json();
    if (said.error) $("message").textContent = said.error;
  } catch (e) {
    $("message").textContent = "the lab does not answer: " + e.message;
  }
  refresh();
}

function row(cells, attributes) {
  const tr = make("tr", undefined, attributes);
  for (const cell of cells) {
    const td = make("td");
    td.append(...[cell].flat());
    tr.append(td);
  }
  return tr;
}

function addressRow(e, a, machines) {
  const buttons = [];
  if (!a.primary) buttons.push(button("release", { eni: e.id, address: a.address }));
  if (a.eip) buttons.push(button("unbind-eip", { eni: e.id, eip: a.eip, address: a.address }, "unbind"));
  else buttons.push(button("bind-eip", { eni: e.id, address: a.address }, "bind public address"));
  const leaves = make("span", a.leavesBy || (machines && e.instance ? "not configured" : ""));
  if (a.leavesBy && a.leavesBy !== e.nic) leaves.className = "wrong";
  return row(["", make("code", a.address), make("code", a.public), leaves, buttons], { "data-address": a.address });
}

function eniRows(e, machines) {
  const about = { instance: e.instance, eni: e.id };
  const buttons = [button("assign", { eni: e.id }, "assign address")];
  if (!e.instance) buttons.push(button("delete-eni", { eni: e.id }, "delete"));
  if (e.instance && !e.primary) {
    buttons.unshift(button("detach", about));
    const box = make("input", undefined, { type: "checkbox", "aria-label": "delete on termination " + e.id });
    box.checked = e.autoDelete;
    box.onchange = () => act({ operation: "set-delete-on-termination", ...about, on: box.checked });
    const label = make("label", " delete on termination");
    label.prepend(box);
    buttons.push(label);
  }
  const name = [make("code", e.id), e.primary ? " (primary)" : ""];
  const rows = [row([name, e.subnet, make("code", e.mac), [e.nic, " ", e.phase], buttons], { class: "eni", "data-eni": e.id })];
  for (const a of e.addresses) rows.push(addressRow(e, a, machines));
  for (const block of e.blocks) rows.push(row(["", make("code", block), "", "", button("release", { eni: e.id, address: block })]));
  return rows;
}

function table(enis, machines) {
  const t = make("table");
  const head = make("tr");
  for (const name of ["ENI", "subnet, address", "MAC, public address", machines ? "NIC, leaves by" : "", ""]) head.append(make("th", name));
  t.append(head, ...enis.flatMap((e) => eniRows(e, machines)));
  return t;
}

function instance(i, state) {
  const s = make("section", undefined, { "data-instance": i.id });
  const task = i.task ? ", " + i.task : "";
  s.append(make("h2", `${i.name} (${i.id}): ${i.status}${task}`));
  s.append(make("p", `${i.vcpu} vCPU, ${i.nicLimit} ENIs at most` + (i.agent ? ". enid: " + i.agent : "")));
  const controls = make("p");
  controls.append(button("start", { instance: i.id }), " ", button("stop", { instance: i.id }), " ", button("terminate", { instance: i.id }), " ");
  for (const e of state.enis.filter((e) => !e.instance)) controls.append(button("attach", { instance: i.id, eni: e.id }, "attach " + e.id), " ");
  s.append(controls, table(state.enis.filter((e) => e.instance === i.id), state.machines));
  return s;
}

function draw(state) {
  const spoofed = state.machines ? [`, ${state.spoofed.length} packets out of a wrong NIC`, ...state.spoofed].join("\n") : "";
  $("summary").textContent = `${state.instances.length} instances, ${state.enis.length} ENIs${spoofed}`;
  $("instances").replaceChildren(...state.instances.map((i) => instance(i, state)));
  $("free").replaceChildren(table(state.enis.filter((e) => !e.instance), false));
  choices($("subnet"), state.subnets.map((s) => s.id), (s, i) => `${s} ${state.subnets[i].range}`);
  choices($("eni"), state.enis.map((e) => e.id), (e) => e);
}

// choices renews a list where it has changed, and keeps what was chosen.
function choices(select, ids, text) {
  if ([...select.options].map((o) => o.value).join() === ids.join()) return;
  const chosen = select.value;
  select.replaceChildren(...ids.map((id, i) => make("option", text(id, i), { value: id })));
  if (ids.includes(chosen)) select.value = chosen;
}

async function refresh() {
  try {
    const text = await (await fetch("/lab/state")).text();
    if (text !== last) draw(JSON.parse((last = text)));
  } catch (e) {
    $("summary").textContent = "the lab does not answer: " + e.message;
    last = "";
  }
}

$("create").onsubmit = (event) => {
  event.preventDefault();
  act({ operation: "create-eni", subnet: $("subnet").value });
};
$("assign").onsubmit = (event) => {
  event.preventDefault();
  act({ operation: "assign", eni: $("eni").value, address: event.target.address.value });
};
refresh();
setInterval(refresh, 1000);
