package metadata

import (
	"math/rand/v2"
	"time"
)

// Backoff says how long to wait after each failure in a row: Min, then twice as
// long each time up to Max, and of that a random part between half and all, so
// that the hosts of a fleet do not come back in step.
type Backoff struct {
	Min, Max time.Duration
	// Random is uniform in [0, 1); nil is a good source.
	Random func() float64

	step time.Duration // the last one, before the random part was taken off
}

// Next is the time to wait before the next try.
func (b *Backoff) Next() time.Duration {
	// Halves are compared, because twice a large step does not fit.
	switch {
	case b.step == 0:
		b.step = min(b.Min, b.Max)
	case b.step > b.Max/2:
		b.step = b.Max
	default:
		b.step *= 2
	}
	random := b.Random
	if random == nil {
		random = rand.Float64
	}
	half := b.step / 2
	return b.step - half + time.Duration(random()*float64(half))
}

// Reset begins again at Min, after a success.
func (b *Backoff) Reset() { b.step = 0 }
