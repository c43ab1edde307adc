package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/config"
)

// secondFigure is the user's own rate, wallet.show_rate; ok is false while there is none, or it cannot be read: that is
// for gpuai config check.
func (a *App) secondFigure() (r config.ShowRate, ok bool) {
	a.rateOnce.Do(func() {
		if l, err := a.load(); err == nil {
			a.rate, a.rated = l.Wallet.ShowRate.Parts()
		}
	})
	return a.rate, a.rated
}

// solFigure is an amount of SOL in text for people, with what it is per.
var solFigure = regexp.MustCompile(`(\d+(?:\.\d+)?) SOL(?:/hour|/h)?`)

// both puts the second figure beside each amount of SOL.
func (a *App) both(text string) string {
	if !solFigure.MatchString(text) {
		return text
	}
	r, ok := a.secondFigure()
	if !ok {
		return text
	}
	return solFigure.ReplaceAllStringFunc(text, func(s string) string {
		amount, err := market.ParseSOL(solFigure.FindStringSubmatch(s)[1])
		if err != nil {
			return s
		}
		return fmt.Sprintf("%s (%s %s)", s, shown(amount, r), r.Currency)
	})
}

// shown is an amount at the user's rate: two places, or two digits of what is smaller.
func shown(amount market.Amount, r config.ShowRate) string {
	v := float64(amount) / market.LamportsSOL * r.PerSOL
	if v >= 1 || v == 0 {
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	places := 2
	for x := v; x < 0.1 && places < 12; x *= 10 {
		places++
	}
	return strconv.FormatFloat(v, 'f', places, 64)
}

// withRate adds "shown" to each money document of a document, if the user has set a rate.
func (a *App) withRate(doc []byte) []byte {
	r, ok := a.secondFigure()
	if !ok {
		return doc
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return doc
	}
	addShown(v, r)
	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return doc
	}
	return append(out, '\n')
}

func addShown(v any, r config.ShowRate) {
	switch x := v.(type) {
	case map[string]any:
		if s, ok := x["amount"].(string); ok && x["symbol"] == "SOL" {
			if n, err := strconv.ParseUint(s, 10, 64); err == nil {
				x["shown"] = map[string]any{"amount": shown(market.Amount(n), r), "currency": r.Currency}
			}
			return
		}
		for _, y := range x {
			addShown(y, r)
		}
	case []any:
		for _, y := range x {
			addShown(y, r)
		}
	}
}
