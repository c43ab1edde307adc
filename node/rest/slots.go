package rest

import (
	"fmt"
	"net/http"
	"sync"

	"github.com/gpuai/gpuai/market"
)

// Slots bound long answers that are under way: Most in all, Each of one address (0: no own bound). What names them.
type Slots struct {
	What       string
	Most, Each int

	mu  sync.Mutex
	all int
	of  map[string]int // by address
}

// retryLong is when one that found no room may come again, in seconds.
const retryLong = 5

// Enter takes a slot for a request until leave is called. Errors: *market.Error busy, rate-limited, both with the time
// to wait.
func (s *Slots) Enter(r *http.Request) (leave func(), err error) {
	who := ByAddress(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= s.Most {
		return nil, &withStatus{
			cause: &market.Error{Code: market.CodeBusy, Kind: market.KindUnavailable, Op: "begin",
				Detail: fmt.Sprintf("%d %s are open", s.Most, s.What), Hint: "close one, or try again"},
			status: http.StatusServiceUnavailable, after: retryLong,
		}
	}
	if s.Each > 0 && s.of[who] >= s.Each {
		return nil, &withStatus{
			cause: &market.Error{Code: market.CodeRateLimited, Kind: market.KindUnavailable, Op: "begin",
				Detail: fmt.Sprintf("%d %s of this address are open", s.Each, s.What), Hint: "close one"},
			status: http.StatusTooManyRequests, after: retryLong,
		}
	}
	if s.of == nil {
		s.of = map[string]int{}
	}
	s.all++
	s.of[who]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.of[who]--; s.of[who] == 0 {
			delete(s.of, who)
		}
	}, nil
}
