package netcfg

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// observeRoutes finds our routes and main's foreign ones.
func (k *Kernel) observeRoutes(ctx context.Context, s Scope, scoped, watched []int, o *Observation) error {
	own, err := k.ownRoutes(ctx, s)
	if err != nil {
		return fmt.Errorf("read the routes of ours: %w", err)
	}
	main, err := k.mainRoutes(ctx, s, mainKey{protos: sorted(s.Protos), scoped: scoped, watched: watched})
	if err != nil {
		return fmt.Errorf("read main's routes through the ENIs: %w", err)
	}
	if o.Host.Local, err = k.othersLocal(ctx, s); err != nil {
		return fmt.Errorf("read the local routes: %w", err)
	}
	o.Host.Routes, o.Host.RADefaults, o.Own.Routes = slices.Clip(main.host), slices.Clip(main.ra), own
	if !s.Full { // a full sweep has found them
		o.Own.Routes = append(own, main.own...)
	}
	return nil
}

// ownRoutes reads the scope's tables, which the kernel finds by their number; a
// full sweep walks all tables, main with the routes of a whole routing daemon included.
func (k *Kernel) ownRoutes(ctx context.Context, s Scope) (own []Route, err error) {
	var filters []routeFilter
	for _, f := range []Family{V4, V6} {
		if s.Full {
			for _, p := range sorted(s.Protos) {
				filters = append(filters, routeFilter{family: f, proto: p})
			}
			continue
		}
		for _, t := range sorted(s.Tables) {
			filters = append(filters, routeFilter{family: f, table: t})
		}
		for _, p := range sorted(s.Protos) { // the kernel's own are more, and no affair of ours
			filters = append(filters, routeFilter{family: f, table: LocalTable, proto: p})
		}
	}
	for _, f := range filters {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		routes, err := k.conn.routes(f)
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			if slices.Contains(s.Protos, r.Proto) {
				own = append(own, r)
			}
		}
	}
	return own, nil
}

// othersLocal finds who else makes a range local that the scope asks about.
func (k *Kernel) othersLocal(ctx context.Context, s Scope) (others []Route, err error) {
	for _, f := range []Family{V4, V6} {
		if !slices.ContainsFunc(s.Local, func(p netip.Prefix) bool { return FamilyOf(p.Addr()) == f }) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		routes, err := k.conn.routes(routeFilter{family: f, table: LocalTable})
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			if slices.Contains(s.Local, r.Dst) && !slices.Contains(s.Protos, r.Proto) {
				others = append(others, r)
			}
		}
	}
	return others, nil
}

// mainRoutes is what matters of main, and what was asked when it was read.
type mainRoutes struct {
	key           mainKey
	own, host, ra []Route // shared by observations: never changed
}

// mainKey are the protocols of ours, the NICs in scope, and these with the ones that
// something of ours is recorded of.
type mainKey struct{ protos, scoped, watched []int }

func (k mainKey) equal(l mainKey) bool {
	return slices.Equal(k.protos, l.protos) && slices.Equal(k.scoped, l.scoped) && slices.Equal(k.watched, l.watched)
}

// mainRoutes reads main again only when the watcher cannot vouch that it is what
// it was, or another question is asked.
func (k *Kernel) mainRoutes(ctx context.Context, s Scope, key mainKey) (mainRoutes, error) {
	unchanged := k.watch.mainUnchanged() // asked in any case: what changes from here on counts for the next time
	if unchanged && !s.Full && key.equal(k.main.key) {
		return k.main, nil
	}
	routes, err := k.readMain(ctx, key.watched)
	if err != nil {
		k.watch.mainChanged()
		return mainRoutes{}, err
	}
	k.main = mainRoutes{key: key}
	for _, r := range routes {
		switch {
		case slices.Contains(key.protos, r.Proto):
			k.main.own = append(k.main.own, r)
		case !slices.Contains(key.scoped, r.Link) || r.Proto == unix.RTPROT_KERNEL:
		case r.Proto != unix.RTPROT_RA:
			k.main.host = append(k.main.host, r)
		case r.Dst.Bits() == 0:
			k.main.ra = append(k.main.ra, r)
		}
	}
	slices.SortFunc(k.main.host, ByNIC)
	slices.SortStableFunc(k.main.ra, ByNIC)
	return k.main, nil
}

func (k *Kernel) readMain(ctx context.Context, nics []int) (found []Route, err error) {
	oifs := nics
	if !k.conn.strict && len(nics) > 0 {
		oifs = []int{0} // this kernel sends everything each time: ask once
	}
	for _, oif := range oifs {
		for _, f := range []Family{V4, V6} {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			k.mainReads++
			routes, err := k.conn.routes(routeFilter{family: f, table: MainTable, oif: oif})
			if err != nil {
				return nil, err
			}
			found = append(found, routes...)
		}
	}
	return slices.DeleteFunc(found, func(r Route) bool { return !slices.Contains(nics, r.Link) }), nil
}
