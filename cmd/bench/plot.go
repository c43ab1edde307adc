package main

import (
	"bytes"
	"fmt"
	"math"
)

// The plot: a frame of so many points, logarithmic both ways.
const (
	plotW, plotH                          = 720, 440
	plotLeft, plotRight, plotTop, plotLow = 70, 190, 30, 390
	rigsFrom, rigsTo                      = 1e3, 1e5
	loadFrom, loadTo                      = 0.1, 1e3 // kB/s
)

// plotStyle is readable on light and on dark ground: lines have colours of middle brightness, letters those of the
// reader's.
const plotStyle = `text{font:13px sans-serif;fill:#555}.f{stroke:#888;fill:none}.g{stroke:#888;stroke-opacity:.25}
.l{fill:none;stroke-width:2.5}.limit{stroke:#d33;stroke-dasharray:6 4;stroke-width:1.5}
@media (prefers-color-scheme:dark){text{fill:#bbb}}`

func plotX(rigs float64) float64 {
	return plotLeft + (plotW-plotLeft-plotRight)*math.Log(rigs/rigsFrom)/math.Log(rigsTo/rigsFrom)
}

func plotY(load float64) float64 {
	return plotLow - (plotLow-plotTop)*math.Log(max(load, loadFrom)/loadFrom)/math.Log(loadTo/loadFrom)
}

// plotModel draws what a rig and a customer carry over the size of the market, for each number of shards.
func plotModel(rows []modelRow) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" `+
		`aria-label="Traffic of one node over the number of rigs"><style>%s</style>`+"\n", plotW, plotH, plotW, plotH,
		plotStyle)
	plotFrame(&b)
	for i, l := range []struct {
		name, colour, dash string
		shards             int
		load               func(modelRow) float64
	}{
		{"rig, one topic", "#e08a1e", "", 1, func(r modelRow) float64 { return r.Rig.Total() }},
		{"customer, one topic", "#e08a1e", "5 4", 1, func(r modelRow) float64 { return r.Customer.Total() }},
		{"rig, 256 shards", "#3b8fd4", "", 256, func(r modelRow) float64 { return r.Rig.Total() }},
		{"customer, 256 shards", "#3b8fd4", "5 4", 256, func(r modelRow) float64 { return r.Customer.Total() }},
	} {
		points, dots := "", ""
		for _, r := range rows {
			if r.shards == l.shards {
				x, y := plotX(float64(r.rigs)), plotY(l.load(r)/1000)
				points += fmt.Sprintf("%.1f,%.1f ", x, y)
				dots += fmt.Sprintf(`<circle cx="%.1f" cy="%.1f" r="4" fill="%s"/>`, x, y, l.colour)
			}
		}
		fmt.Fprintf(&b, `<polyline class="l" stroke="%s" stroke-dasharray="%s" points="%s"/>%s`+"\n", l.colour, l.dash,
			points, dots)
		y := plotTop + 14 + 24*i
		fmt.Fprintf(&b, `<line class="l" stroke="%s" stroke-dasharray="%s" x1="%d" y1="%d" x2="%d" y2="%d"/>`+
			`<text x="%d" y="%d">%s</text>`+"\n", l.colour, l.dash, plotW-plotRight+14, y, plotW-plotRight+42, y,
			plotW-plotRight+48, y+4, l.name)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// plotFrame draws the axes with their units, the grid and the limit.
func plotFrame(b *bytes.Buffer) {
	right := plotW - plotRight
	fmt.Fprintf(b, `<rect class="f" x="%d" y="%d" width="%d" height="%d"/>`+"\n", plotLeft, plotTop, right-plotLeft,
		plotLow-plotTop)
	for rigs, name := rigsFrom, []string{"1,000", "10,000", "100,000"}; len(name) > 0; rigs, name = rigs*10, name[1:] {
		fmt.Fprintf(b, `<line class="g" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/><text x="%.1f" y="%d" `+
			`text-anchor="middle">%s</text>`+"\n", plotX(rigs), plotTop, plotX(rigs), plotLow, plotX(rigs), plotLow+18,
			name[0])
	}
	for load := loadFrom; load <= loadTo*1.01; load *= 10 {
		fmt.Fprintf(b, `<line class="g" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/><text x="%d" y="%.1f" `+
			`text-anchor="end">%.4g</text>`+"\n", plotLeft, plotY(load), right, plotY(load), plotLeft-8, plotY(load)+4,
			load)
	}
	fmt.Fprintf(b, `<line class="limit" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/><text x="%d" y="%.1f">%g kB/s</text>`+"\n",
		plotLeft, plotY(modelLimit), right, plotY(modelLimit), right+6, plotY(modelLimit)+4, modelLimit)
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">rigs in the market</text>`+"\n", (plotLeft+right)/2,
		plotLow+38)
	fmt.Fprintf(b, `<text transform="translate(18 %d) rotate(-90)" text-anchor="middle">one node, sent and received, `+
		`kB/s</text>`+"\n", (plotTop+plotLow)/2)
}
