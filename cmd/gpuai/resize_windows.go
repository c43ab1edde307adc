package main

import "time"

// resizeEvery is how often the size is asked for, since the system does not tell.
const resizeEvery = 250 * time.Millisecond

// resizes tells that the terminal may have another size.
func resizes() (changed <-chan time.Time, stop func()) {
	t := time.NewTicker(resizeEvery)
	return t.C, t.Stop
}
