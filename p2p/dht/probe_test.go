package dht

import "testing"

// TestSeen_Alarm: two bad probes in a row alarm, only a good one ends it; what lies between changes nothing.
func TestSeen_Alarm(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		held   []int // of 20 asked, probe by probe
		unseen bool
		good   bool
	}{
		"one bad":            {[]int{4}, false, false},
		"two bad":            {[]int{4, 4}, true, false},
		"bad, fair, bad":     {[]int{4, 5, 4}, false, false},
		"a quarter is fair":  {[]int{5, 5, 5}, false, true},
		"alarm stays":        {[]int{0, 0, 9}, true, false},
		"alarm ends":         {[]int{0, 0, 10}, false, true},
		"alarm, end, one":    {[]int{0, 0, 20, 0}, false, false},
		"alarm through fair": {[]int{0, 0, 9, 0}, true, false},
	} {
		var s Seen
		var good bool
		for _, held := range c.held {
			s, good = s.next("class/x", held, 20)
		}
		if s.Unseen != c.unseen || good != c.good {
			t.Errorf("%s: %+v, good %v", name, s, good)
		}
	}
}
