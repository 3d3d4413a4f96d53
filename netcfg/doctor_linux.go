package netcfg

import (
	"fmt"
)

// Diagnose looks for what on this host can hurt enid's work, or is hurt by it. It changes nothing
// and needs no privilege.
func (k *Kernel) Diagnose(c Checkup) ([]Finding, error) {
	s := ill{Checkup: c, rules: map[Family][]hostRule{}, strict: map[int]bool{}}
	var err error
	for _, f := range []Family{V4, V6} {
		if s.rules[f], err = k.conn.hostRules(f); err != nil && !(f == V6 && familyMissing(err)) {
			return nil, fmt.Errorf("read the IPv%d policy rules: %w", f, err)
		}
		if err := k.diagnoseRoutes(&s, f); err != nil {
			return nil, fmt.Errorf("read the IPv%d routes: %w", f, err)
		}
	}
	for _, x := range c.Seen.Host.Settings {
		if x.Knob == RPFilter && (x.Value == "1" || x.Value == "0" && c.Seen.Host.StrictAll == "1") {
			s.strict[x.Link] = true
		}
	}
	return s.diagnose(), nil
}

// diagnoseRoutes reads the routes that matter: in the tables that are enid's, and the default routes by
// the secondary ENIs' NICs.
func (k *Kernel) diagnoseRoutes(s *ill, f Family) error {
	n := s.numbers()
	tables := []int{n.RefuseTable()}
	for slot := range Slot(MaxSlots) {
		tables = append(tables, n.TableOf(slot))
	}
	for _, table := range tables {
		routes, err := k.conn.allRoutes(routeFilter{family: f, table: table})
		if err != nil {
			return err
		}
		s.tables = append(s.tables, routes...)
	}
	for _, e := range s.Target.ENIs {
		if e.Slot <= Primary || e.Link.Index == 0 {
			continue
		}
		routes, err := k.conn.allRoutes(routeFilter{family: f, table: MainTable, oif: e.Link.Index})
		if err != nil {
			return err
		}
		for _, r := range routes {
			if r.Dst.Bits() <= halves(f) && r.Proto != n.Protocol {
				s.defaults = append(s.defaults, r)
			}
		}
	}
	return nil
}
