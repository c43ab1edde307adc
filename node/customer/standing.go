package customer

import (
	"slices"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/book"
)

// maxStanding bounds the orders of a class that are tested against each Offer that comes; others look again when it is
// time.
const maxStanding = 1000

// standing are the orders that look for a rig, by class; "" are those that take any.
type standing map[string][]*watch

// watch is one of them. came has the newest sign that an Offer fits.
type watch struct {
	query *book.Standing
	came  chan struct{}
}

func (w *watch) ring() {
	select {
	case w.came <- struct{}{}:
	default:
	}
}

func (w *watch) classes() []string {
	if c := w.query.Classes(); len(c) > 0 {
		return c
	}
	return []string{""}
}

// enter returns a watch of a query; leave ends it.
func (b *Book) enter(q book.Query) (w *watch, leave func()) {
	w = &watch{book.NewStanding(q), make(chan struct{}, 1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range w.classes() {
		if len(b.standing[c]) < maxStanding {
			b.standing[c] = append(b.standing[c], w)
		}
	}
	return w, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, c := range w.classes() {
			b.standing[c] = slices.DeleteFunc(b.standing[c], func(x *watch) bool { return x == w })
			if len(b.standing[c]) == 0 {
				delete(b.standing, c)
			}
		}
	}
}

// tell lets the orders know that a provider's new Offer fits. Caller holds mu.
func (s standing) tell(b *book.Book, o market.Offer, now time.Time) {
	told := map[string]bool{}
	see := func(class string) {
		if told[class] {
			return
		}
		told[class] = true
		for _, w := range s[class] {
			if b.Fits(w.query, o.Provider, now) {
				w.ring()
			}
		}
	}
	for _, g := range o.Groups {
		see(g.Class)
		see("")
	}
}
