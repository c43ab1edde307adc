package main

import (
	"fmt"
	"time"

	"github.com/gpuai/gpuai/node/api"
)

// plainEvery is how often a wait is told where lines cannot be redrawn; rateAfter is how much of it must be known
// before a rate is said.
const (
	plainEvery = 10 * time.Second
	rateAfter  = 3 * time.Second
)

// progress tells what is waited for: redrawn on a terminal, else a line per phase and every 10 s.
type progress struct {
	a     *App
	phase string
	since time.Time // the phase began here, with from bytes done
	from  uint64
	told  time.Time
}

// reset begins anew with the next call of show.
func (p *progress) reset() { p.phase = "" }

func (p *progress) show(now api.Progress) {
	if now.Phase != p.phase {
		p.phase, p.since, p.from, p.told = now.Phase, time.Now(), now.Done, time.Time{}
	}
	switch {
	case p.a.redraws():
		p.a.draw(p.text(now, time.Since(p.since)))
	case time.Since(p.told) >= plainEvery:
		p.told = time.Now()
		p.a.say("%s", p.text(now, time.Since(p.since)))
	}
}

// text is one line: the phase, how far it is, the rate, and how long it still takes if that can be known.
func (p *progress) text(now api.Progress, lasted time.Duration) string {
	line := fmt.Sprintf("%-9s ", clean(now.Phase))
	if now.Total == 0 && now.Done == 0 {
		if line += "…"; lasted >= time.Second {
			line += " " + span(lasted.Truncate(time.Second))
		}
		return line
	}
	line += fmt.Sprintf("%.1f", float64(now.Done)/1e6)
	if now.Total > 0 {
		line += fmt.Sprintf(" of %.1f", float64(now.Total)/1e6)
	}
	line += " MB"
	if lasted < rateAfter || now.Done <= p.from {
		return line
	}
	rate := float64(now.Done-p.from) / lasted.Seconds()
	line += fmt.Sprintf("  %.1f MB/s", rate/1e6)
	if now.Total > now.Done {
		line += "  " + span(time.Duration(float64(now.Total-now.Done)/rate*float64(time.Second))) + " left"
	}
	return line
}
