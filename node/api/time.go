package api

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rest"
)

// Lamports is an amount of SOL in a request: text, or the money document.
type Lamports market.Amount

// MarshalJSON implements json.Marshaler.
func (l Lamports) MarshalJSON() ([]byte, error) {
	return json.Marshal(strconv.FormatUint(uint64(l), 10))
}

// UnmarshalJSON implements json.Unmarshaler. Errors name no value of the text.
func (l *Lamports) UnmarshalJSON(b []byte) error {
	m := Money{Mint: solMint}
	if len(b) > 0 && b[0] == '{' {
		if err := rest.Strict(strings.NewReader(string(b)), &m); err != nil {
			return errors.New("no money document")
		}
	} else if err := json.Unmarshal(b, &m.Amount); err != nil {
		return errors.New("an amount is text, or a money document")
	}
	n, err := strconv.ParseUint(m.Amount, 10, 64)
	if err != nil || m.Mint != solMint || m.Per != "" {
		return errors.New("no amount of lamports")
	}
	*l = Lamports(n)
	return nil
}

// Schema implements huma.SchemaProvider.
func (Lamports) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Description: "lamports as text, or the money document of an amount of SOL",
		Examples:    []any{"1000000000"},
		OneOf:       []*huma.Schema{{Type: huma.TypeString, Pattern: "^[0-9]+$"}, askedMoney()},
	}
}

// askedMoney is Money in a request: its amount is enough.
func askedMoney() *huma.Schema {
	word := &huma.Schema{Type: huma.TypeString}
	return &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: false, Required: []string{"amount"},
		Properties: map[string]*huma.Schema{
			"amount": word, "mint": word, "decimals": {Type: huma.TypeInteger}, "symbol": word, "per": word,
		},
	}
}
