package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/node/api"
)

func newNetCmd(a *App) *cobra.Command {
	cmd := &cobra.Command{
		Use: "net", Short: "The node's peers, and whom it finds beyond them",
		Example: "  gpuai net check\n  gpuai net find rtx-4090",
	}
	cmd.AddCommand(newNetCheck(a), newNetPeers(a), newNetFind(a), newNetPing(a))
	return cmd
}

func newNetCheck(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "How this node stands in its network", Args: exact(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			n, err := c.Net(cmd.Context())
			if err != nil {
				return a.hinted(err)
			}
			return a.print("net", n, func(t *Table) { netTable(t, n) })
		},
	}
}

func netTable(t *Table, n api.Net) {
	t.Row("network", n.Network)
	t.Row("peer id", n.PeerID)
	t.Row("addresses", or(strings.Join(n.Addresses, "\n"), "none yet: nobody can connect to this node"))
	t.Row("peers", fmt.Sprintf("%d: %d came to us, %d over a relay", n.Peers, n.Inbound, n.Relayed))
	t.Row("offers", fmt.Sprintf("%d held, and %s; %s hear them too", n.Offers, count(n.Wants, "want", "wants"),
		count(n.Listeners, "peer", "peers")))
	does := "asks"
	if n.DHT.Server {
		does = "asks and answers"
	}
	t.Row("DHT", fmt.Sprintf("%s in the table, this node %s", count(n.DHT.Nodes, "node", "nodes"), does))
	t.Row("announces", announcedWord(n.DHT))
}

func announcedWord(d api.NetDHT) string {
	if len(d.Keys) == 0 {
		return "nothing: it sells nothing and is no meeting point"
	}
	out := strings.Join(d.Keys, ", ")
	switch {
	case d.Error != "":
		return out + ": failed, it is tried again (" + d.Error + ")"
	case d.AnnouncedAt == nil:
		return out + ": not yet"
	case d.Asked != nil:
		out += fmt.Sprintf(", %d of %s that should know do", *d.Held, count(*d.Asked, "node", "nodes"))
	}
	return out + ", " + span(time.Since(d.AnnouncedAt.Time)) + " ago"
}

func newNetPeers(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "peers", Short: "Connected nodes", Args: exact(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			l, err := c.Peers(cmd.Context())
			if err != nil {
				return a.hinted(err)
			}
			if len(l) == 0 && !a.json {
				a.say("No peer is connected. Try: gpuai doctor --only net")
			}
			return a.print("peers", map[string]any{"peers": l}, func(t *Table) {
				t.Head("PEER", "SINCE", "RTT", "HOW", "ADDRESS", "VERSION")
				for _, p := range l {
					t.Row(p.ID, span(time.Since(p.Since.Time)), rtt(p.RTTus), how(p), p.Address, or(p.Version, "-"))
				}
			})
		},
	}
}

func rtt(us int64) string {
	if us == 0 {
		return "-"
	}
	return (time.Duration(us) * time.Microsecond).Round(100 * time.Microsecond).String()
}

// how says how a peer is connected and what for.
func how(p api.Peer) string {
	words := []string{"out"}
	if p.Inbound {
		words[0] = "in"
	}
	if p.Relayed {
		words = append(words, "relayed")
	}
	if p.Meeting {
		words = append(words, "bootstrap")
	}
	if p.Lease {
		words = append(words, "lease")
	}
	return strings.Join(words, ", ")
}

func newNetFind(a *App) *cobra.Command {
	var want int
	cmd := &cobra.Command{
		Use:   "find MODEL|infra|indexer",
		Short: "Look for rigs or meeting points in the DHT, where gossip does not reach",
		Args:  exact(1, "one model, infra or indexer"), Example: "  gpuai net find rtx-4090\n  gpuai net find infra",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := atLeast("--want", want, 1, "gpuai net find --help"); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.netFind(cmd.Context(), c, api.FindRequest{Key: args[0], Want: want})
		},
	}
	cmd.Flags().IntVar(&want, "want", 3, "how many are enough, at most 200")
	return cmd
}

func (a *App) netFind(ctx context.Context, c *api.Client, r api.FindRequest) error {
	f, err := c.FindPeers(ctx, r)
	if err != nil {
		return a.hinted(err)
	}
	if !a.json {
		a.say("%s in the DHT, %d answered and are what they say, %s", count(f.Records, "record", "records"),
			len(f.Peers), ms(f.TookMS).Round(time.Millisecond))
	}
	return a.print("found-peers", f, func(t *Table) {
		for _, p := range f.Peers {
			t.Row(p)
		}
	})
}

func newNetPing(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "ping PEER|ADDRESS", Short: "Connect to a node and measure the round trip",
		Args: exact(1, "one peer id or the end of it, or an address that ends in /p2p/ID"),
		Example: "  gpuai net ping /ip4/203.0.113.7/udp/4801/quic-v1/p2p/" +
			"12D3KooWLKm1pq8u2qmSD1eGhd5daQJ1AC58TBV3aJtQGQSH5you",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			peer, err := a.peerOf(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			p, err := c.PingPeer(cmd.Context(), api.PingRequest{Peer: peer})
			if err != nil {
				return a.hinted(err)
			}
			return a.print("ping", p, func(t *Table) {
				way := "direct"
				if p.Relayed {
					way = "over a relay"
				}
				t.Row(p.ID, rtt(p.RTTus), way, p.Address)
			})
		},
	}
}
