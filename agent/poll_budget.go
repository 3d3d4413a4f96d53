package agent

import (
	"strings"
	"time"
)

// requestsAtMost is how many requests a second a metadata service gets from one host, where its dialect does not
// say another Limit. The rates at which services refuse are not published, but for Azure's.
const requestsAtMost = 50

// limited is a source whose service refuses more than so many requests a second.
type limited interface{ Limit() float64 }

func limit(s Source) float64 {
	if l, ok := spoken(s).(limited); ok && l.Limit() > 0 {
		return l.Limit()
	}
	return requestsAtMost
}

// budget is a token bucket of requests. A tenth of a second's worth is saved up at most, so that over any time no more
// requests are made than the limit allows and one question more: where a question is one request, not even that.
type budget struct {
	perSecond float64 // the limit
	tokens    float64 // negative: spent in advance, for what a question costs is known when it is answered
	at        time.Time
	cost      float64 // of the newest question
}

// left is how many requests may be made now.
func (b budget) left(now time.Time) float64 {
	return min(b.tokens+now.Sub(b.at).Seconds()*b.rate(), b.savings())
}

func (b budget) rate() float64    { return b.perSecond * 0.9 }
func (b budget) savings() float64 { return b.perSecond * 0.1 }

// spend takes the price of a question that was asked just before now.
func (b budget) spend(requests uint64, now time.Time) budget {
	return budget{b.perSecond, b.left(now) - float64(requests), now, float64(requests)}
}

// wait is how long another question like the newest has to wait.
func (b budget) wait(now time.Time) time.Duration {
	lacks := min(b.cost, b.savings()) - b.left(now)
	if lacks <= 0 {
		return 0
	}
	return time.Duration(lacks / b.rate() * float64(time.Second))
}

// tally is what requests came to.
type tally struct{ all, refused uint64 }

// tallied sums up the requests to the metadata. Those to a cloud's API have a pace of their own.
func tallied(results map[string]uint64) (t tally) {
	for result, n := range results {
		if strings.HasPrefix(result, "openapi-") {
			continue
		}
		t.all += n
		if result == "429" {
			t.refused += n
		}
	}
	return t
}

// since is what came after an earlier tally.
func (t tally) since(before tally) tally {
	return tally{t.all - before.all, t.refused - before.refused}
}
