package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/runtime/spec"
)

// orderOf is the node's client and the order that a person names.
func (a *App) orderOf(ctx context.Context, word string) (c *api.Client, id string, err error) {
	if c, err = a.reached(ctx); err == nil {
		id, err = a.ref(ctx, c, word)
	}
	return c, id, err
}

// ref turns what a person calls an order into what the node knows: a name is the live order of that name, else the
// newest. Ids, their beginnings and "-" stay. Errors: bad-usage, if several live orders have the name.
func (a *App) ref(ctx context.Context, c *api.Client, word string) (string, error) {
	if word == "-" || strings.HasPrefix(word, "order_") || strings.HasPrefix(word, "lease_") {
		return word, nil
	}
	list, err := c.Orders(ctx, api.OrderQuery{All: true, Name: word, Newest: mostListed})
	if err != nil {
		return "", err
	}
	var live []string
	newest := api.Order{}
	for _, o := range list {
		if o.Name != word {
			continue
		}
		if !o.Ended() {
			live = append(live, o.ID)
		}
		if newest.ID == "" || newest.CreatedAt.Before(o.CreatedAt.Time) {
			newest = o
		}
	}
	switch {
	case len(live) > 1:
		slices.Sort(live)
		return "", usage(fmt.Sprintf("%q names %d live orders: %s", word, len(live), strings.Join(live, ", ")),
			"gpuai ps")
	case len(live) == 1:
		return live[0], nil
	case newest.ID != "":
		return newest.ID, nil
	}
	return word, nil // the node says what it thinks of it
}

// wholeIDs completes the nodes that flags name. Errors: nodeIDs'.
func (a *App) wholeIDs(ctx context.Context, f spec.Flags) (err error) {
	for _, name := range []string{"provider", "exclude"} {
		if f[name], err = a.nodeIDs(ctx, f[name]); err != nil {
			return err
		}
	}
	return nil
}

// nodeIDs completes ids of nodes that are given by their last characters, as tables show them. Errors: not-found;
// bad-usage if several fit.
func (a *App) nodeIDs(ctx context.Context, words []string) ([]string, error) {
	out := slices.Clone(words)
	var known []string
	for i, w := range words {
		if _, err := market.ParseNodeID(w); err == nil {
			continue
		}
		if known == nil {
			c, err := a.running(ctx)
			if err == nil {
				known, err = sellers(ctx, c)
			}
			if err != nil {
				return nil, err
			}
		}
		var err error
		if out[i], err = wholeID(w, known, "no node that offers something", "gpuai offers --all"); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// sellers are the nodes that offer something.
func sellers(ctx context.Context, c *api.Client) (out []string, err error) {
	list, err := c.Offers(ctx, market.Sort{})
	for _, o := range list {
		out = append(out, o.Provider)
	}
	return out, err
}

// wholeID is the one known node whose id ends with a word. Errors: not-found, which begins with nobody; bad-usage if
// several fit, or the word is too short.
func wholeID(w string, known []string, nobody, list string) (string, error) {
	if len(w) < 4 {
		return "", usage(w+" is no node: give its id, or at least the last 4 characters of it", list)
	}
	var hits []string
	for _, id := range known {
		if strings.HasSuffix(id, w) && !slices.Contains(hits, id) {
			hits = append(hits, id)
		}
	}
	switch len(hits) {
	case 0:
		return "", &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "find node",
			Detail: nobody + " ends with " + w, Hint: list}
	case 1:
		return hits[0], nil
	}
	return "", usage(fmt.Sprintf("%d nodes end with %s: give more of it", len(hits), w), list+" --json")
}

// peerOf completes the end of an id of a peer or of a node that offers something; addresses and whole ids stay.
func (a *App) peerOf(ctx context.Context, c *api.Client, w string) (string, error) {
	if _, err := market.ParseNodeID(w); err == nil || strings.Contains(w, "/") {
		return w, nil
	}
	peers, err := c.Peers(ctx)
	if err != nil {
		return "", a.hinted(err)
	}
	known, err := sellers(ctx, c)
	if err != nil && market.CodeOf(err) != market.CodeRoleOff && market.CodeOf(err) != market.CodeChainUnreachable {
		return "", err // who does not buy knows no offers
	}
	for _, p := range peers {
		known = append(known, p.ID)
	}
	return wholeID(w, known, "no peer, and no node that offers something,", "gpuai net peers")
}
