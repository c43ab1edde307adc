package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/cmd/gpuai/images"
	"github.com/gpuai/gpuai/escrow/localnet"
	"github.com/gpuai/gpuai/node"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/indexer/public"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/runtime/image"
)

// imagesPort is where docker push reaches the local registry.
const imagesPort = 8898

// indexPort is where localnet's index is if the port is free.
const indexPort = 8080

func newLocalnetCmd(a *App) *cobra.Command {
	var o localnet.Options
	var index bool
	cmd := &cobra.Command{
		Use: "localnet", Short: "Run what nodes of one machine need: ledger, meeting point and image registry; from " +
			"a checkout", Args: exact(0, "no arguments"),
		Example: "  gpuai localnet\n  gpuai config set node.network=localnet",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return a.localnet(ctx, o, cmd.Flags().Changed("port"), index)
		},
	}
	cmd.Flags().IntVar(&o.Port, "port", rpcPort(), "port of the ledger; 0 = any")
	cmd.Flags().IntVar(&o.SlotMS, "slot-ms", 100, "milliseconds per slot; money is final after 32 slots")
	cmd.Flags().StringVar(&o.Seed, "seed", "", "fixes genesis and faucet")
	cmd.Flags().BoolVar(&index, "indexer", false, "let the meeting point keep a public index, too")
	return cmd
}

// rpcPort is the ledger's port that nodes expect.
func rpcPort() int {
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(config.LocalRPC, "http://"))
	n, _ := strconv.Atoi(port) // a constant
	return n
}

// localnet runs the three parts until ctx ends. Ports that others have are replaced unless they were asked for.
func (a *App) localnet(ctx context.Context, o localnet.Options, asked, index bool) (err error) {
	if !asked && !free("tcp", o.Port) {
		o.Port = 0
	}
	ledger, err := localnet.Start(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ledger.Close()) }()
	registry, err := a.serveImages()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, registry.Close()) }()
	dir, err := os.MkdirTemp("", "gpuai-localnet-")
	if err != nil {
		return fmt.Errorf("make folder of the meeting point: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	rpc := ""
	if index {
		rpc = ledger.RPC
	}
	meet, err := a.meetingPoint(dir, rpc)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	ready := make(chan struct{})
	g.Go(func() error { return meet.Serve(ctx, ready) })
	select {
	case <-ready:
		err = a.printLocalnet(ledger, registry.Host, meet)
	case <-ctx.Done():
	}
	if err != nil {
		stop()
	}
	return errors.Join(err, g.Wait())
}

func (a *App) serveImages() (*image.Server, error) {
	port := imagesPort
	if !free("tcp", port) {
		port = 0
	}
	s, err := image.Serve(port)
	if err != nil {
		return nil, err
	}
	for _, i := range []struct {
		name, tag string
		open      func() (image.Image, error)
	}{{images.ShellName, images.ShellTag, images.Shell}, {images.SampleName, images.SampleTag, images.Sample}} {
		made, err := i.open()
		if err == nil {
			_, err = s.Add(i.name, i.tag, made)
		}
		if err != nil {
			a.say("no image %s: %v", i.name, err) // pushed ones work all the same
		}
	}
	return s, nil
}

// meetingPoint is a node under the key that every node of localnet knows. With a ledger it is an indexer, else it has
// no role.
func (a *App) meetingPoint(dir, rpc string) (*node.Node, error) {
	seed := p2p.LocalSeed()
	err := os.Mkdir(filepath.Join(dir, "keys"), 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "keys", "node.key"), seed[:], 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("write key of the meeting point: %w", err)
	}
	port := p2p.LocalPort
	if !free("udp", port) {
		port = 0
	}
	var c config.Config
	c.Node.Network, c.Node.DataDir = "localnet", dir
	c.P2P.Infra, c.P2P.Listen = true, []string{fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1", port)}
	if rpc != "" {
		c.Node.Roles, c.Solana.RPC = []string{config.RoleIndexer}, []string{rpc}
		c.Indexer.Store, c.Indexer.Listen = filepath.Join(dir, "index.db"), "127.0.0.1:0"
		if free("tcp", indexPort) {
			c.Indexer.Listen = fmt.Sprintf("127.0.0.1:%d", indexPort)
		}
	}
	return node.New(c, node.Deps{}, slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn})))
}

// printLocalnet says what runs where, and how a node joins: with the usual ports one setting is enough.
func (a *App) printLocalnet(s *localnet.Server, registry string, n *node.Node) error {
	meet := n.Addrs()
	join := "gpuai config set node.network=localnet"
	if s.RPC != config.LocalRPC {
		join += " solana.rpc=" + s.RPC
	}
	if usual := fmt.Sprintf("/udp/%d/", p2p.LocalPort); len(meet) > 0 && !strings.Contains(meet[0], usual) {
		join += " p2p.bootstrap=" + meet[0]
	}
	doc := map[string]any{
		"rpc": s.RPC, "genesis": s.Genesis, "program": s.Program.String(), "faucet": s.Faucet.String(),
		"images": registry, "meeting_point": meet, "join": join,
	}
	site := ""
	if x, err := node.Guest[node.Index](n, config.RoleIndexer); err == nil {
		site = x.URL()
		doc["site"], doc["index"] = site, site+public.Base
	}
	return a.print("localnet", doc, func(t *Table) {
		t.Row("ledger", s.RPC)
		t.Row("genesis", s.Genesis)
		t.Row("program", s.Program.String())
		t.Row("images", registry+"/"+images.ShellName+" (a shell), and what you docker push to "+registry+"/NAME")
		t.Row("meet at", or(strings.Join(meet, " "), "-"))
		if site != "" {
			t.Row("site", site)
			t.Row("index", site+public.Base+"/summary")
		}
		t.Row("join", join)
	})
}

// free reports whether a port of loopback can be listened on.
func free(network string, port int) bool {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if network == "udp" {
		c, err := net.ListenPacket("udp", addr)
		return err == nil && c.Close() == nil
	}
	l, err := net.Listen("tcp", addr)
	return err == nil && l.Close() == nil
}
