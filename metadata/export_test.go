package metadata

import "time"

// Expire makes the present token one that is to be renewed.
func (t *Tokens) Expire() { t.token.until = time.Now() }

// Left is the time until the present token is renewed.
func (t *Tokens) Left() time.Duration { return time.Until(t.token.until) }
