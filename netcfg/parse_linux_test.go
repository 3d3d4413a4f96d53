package netcfg

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

func TestRetryInterrupted(t *testing.T) {
	for _, c := range []struct {
		name        string
		interrupted int
		then        error
		reads       int
		fails       bool
	}{
		{"never", 0, nil, 1, false},
		{"twice", 2, nil, 3, false},
		{"then another error", 1, unix.ENOBUFS, 2, true},
		{"for ever", 1000, nil, dumpAttempts, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			reads := 0
			err := retryInterrupted(func() error {
				reads++
				if reads <= c.interrupted {
					return nl.ErrDumpInterrupted
				}
				return c.then
			})
			if reads != c.reads || (err != nil) != c.fails || c.then != nil && !errors.Is(err, c.then) {
				t.Errorf("%d reads, %v", reads, err)
			}
		})
	}
}

// reply is one netlink message.
func reply(typ, flags uint16, seq uint32, body []byte) []byte {
	r := request(int(typ), int(flags), nil)
	r.Seq = seq
	r.RawData = body
	return r.Serialize()
}

func errnoBody(errno int32) []byte { return nl.Uint32Attr(uint32(-errno)) }

func TestAnswers(t *testing.T) {
	c := &conn{seq: 7}
	join := func(parts ...[]byte) (b []byte) {
		for _, p := range parts {
			b = append(b, p...)
		}
		return b
	}
	done := reply(unix.NLMSG_DONE, unix.NLM_F_MULTI, 7, errnoBody(0))
	explained := join(errnoBody(int32(unix.EINVAL)), make([]byte, unix.SizeofNlMsghdr), attrString(nl.NLMSGERR_ATTR_MSG, "because").Serialize())
	for _, c2 := range []struct {
		name        string
		in          []byte
		bodies      string
		last        bool
		interrupted bool
		err         string
	}{
		{name: "a part", in: reply(24, unix.NLM_F_MULTI, 7, []byte("abcd")), bodies: "abcd"},
		{name: "the end", in: join(reply(24, 0, 7, []byte("abcd")), reply(24, 0, 7, []byte("efgh")), done), bodies: "abcdefgh", last: true},
		{name: "a late answer to another", in: join(reply(unix.NLMSG_ERROR, 0, 6, errnoBody(1)), reply(24, 0, 7, []byte("abcd"))), bodies: "abcd"},
		{name: "interrupted", in: join(reply(24, unix.NLM_F_DUMP_INTR, 7, []byte("abcd")), done), bodies: "abcd", last: true, interrupted: true},
		{name: "an acknowledgement", in: reply(unix.NLMSG_ERROR, 0, 7, errnoBody(0)), last: true},
		{name: "an error", in: reply(unix.NLMSG_ERROR, 0, 7, errnoBody(int32(unix.ESRCH))), last: true, err: "no such process"},
		{name: "an explained error", in: reply(unix.NLMSG_ERROR, unix.NLM_F_ACK_TLVS|unix.NLM_F_CAPPED, 7, explained), last: true, err: "invalid argument (because)"},
		{name: "cut off", in: reply(24, 0, 7, []byte("abcd"))[:18], last: true, err: errTruncated.Error()},
		{name: "half a header", in: []byte{1, 2, 3}, last: true, err: errTruncated.Error()},
	} {
		t.Run(c2.name, func(t *testing.T) {
			var bodies string
			var interrupted bool
			last, err := c.answers(c2.in, &interrupted, func(b []byte) error {
				bodies += string(b)
				return nil
			})
			text := ""
			if err != nil {
				text = err.Error()
			}
			if bodies != c2.bodies || last != c2.last || interrupted != c2.interrupted || text != c2.err {
				t.Errorf("bodies %q, last %v, interrupted %v, error %q", bodies, last, interrupted, text)
			}
		})
	}
}

func serialized(parts []nl.NetlinkRequestData) (b []byte) {
	for _, p := range parts {
		b = append(b, p.Serialize()...)
	}
	return b
}

// FuzzParse: no message makes a parser fall over, and what a Rule or a plain Route says of one
// can be said again.
func FuzzParse(f *testing.F) {
	for _, r := range everything(3).Rules {
		f.Add(serialized(r.encode()))
	}
	for _, r := range everything(3).Routes {
		f.Add(serialized(r.encode()))
	}
	for _, body := range [][]byte{nil, {1}, make([]byte, 12), append(make([]byte, 12), 3, 0, 1, 0)} {
		f.Add(body)
		f.Add(reply(24, 0, 1, body))
		f.Add(reply(unix.NLMSG_ERROR, unix.NLM_F_ACK_TLVS, 1, body))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		parseLink(b)
		parseAddr(b)
		for m := range messages(b) {
			_ = m.errno()
			interest{}.judge(m)
		}
		if r, ok := parseRule(b); ok {
			again, ok := parseRule(serialized(r.encode()))
			if r.Mask == 0 {
				r.Mark = 0 // no selector
			}
			if diff := cmp.Diff(r, again, equate); !ok || diff != "" {
				t.Errorf("rule (-read +again):\n%s", diff)
			}
		}
		if r, ok := parseRoute(b); ok && r.plain && r.Link >= 0 {
			again, ok := parseRoute(serialized(r.encode()))
			if diff := cmp.Diff(r.Route, again.Route, equate); !ok || diff != "" {
				t.Errorf("route (-read +again):\n%s", diff)
			}
		}
	})
}
