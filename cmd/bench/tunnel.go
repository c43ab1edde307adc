package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/streams"
)

const (
	tunnelBytes = 128 << 20
	tunnelPiece = 64 << 10
	tunnelLeast = 0.25 // of raw TCP
)

// sinkTunnel is a rig that takes what is put, gives as much as is got, and echoes what an exec is told.
type sinkTunnel struct{}

// Open implements streams.Tunneler.
func (sinkTunnel) Open(_ context.Context, _ market.NodeID, o streams.TunnelOpen) (
	func(context.Context, *streams.FrameConn) error, error) {
	return func(_ context.Context, c *streams.FrameConn) error {
		piece := make([]byte, tunnelPiece)
		if o.Kind == streams.TunnelGet {
			for range tunnelBytes / tunnelPiece {
				if err := c.Write(streams.ChanOut, piece); err != nil {
					return err
				}
			}
			return nil
		}
		for left := tunnelBytes; left > 0; {
			ch, data, err := c.ReadInto(piece)
			if err != nil {
				return err
			}
			if left -= len(data); o.Kind == streams.TunnelExec {
				if err := c.Write(ch, data); err != nil {
					return err
				}
				left = tunnelBytes // until its customer ends it
			}
		}
		return c.Write(streams.ChanControl, []byte("{}"))
	}, nil
}

// benchTunnel moves bytes through tunnel streams of two hosts on loopback, which use TCP as those of a LAN do, then of
// two that have QUIC only, as over the internet; and through one TCP connection.
func benchTunnel(ctx context.Context, _ options, r *report) error {
	const onQUIC = "/ip4/127.0.0.1/udp/0/quic-v1"
	if err := tunnelOver(ctx, r, "tunnel", "≥ 25 %", onQUIC, "/ip4/127.0.0.1/tcp/0"); err != nil {
		return err
	}
	return tunnelOver(ctx, r, "tunnel_quic", "", onQUIC)
}

func tunnelOver(ctx context.Context, r *report, name, target string, listen ...string) error {
	sctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	rig, err := loopbackHost(sctx, &wg, listen)
	if err != nil {
		return err
	}
	buyer, err := loopbackHost(sctx, &wg, listen)
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	streams.New(rig, streams.Handlers{Tunneler: sinkTunnel{}}, log)
	ask := streams.New(buyer, streams.Handlers{}, log)
	if err := buyer.Connect(ctx, rig.ID(), rig.Addrs()); err != nil {
		return err
	}
	for way, kind := range map[string]streams.TunnelKind{"_put": streams.TunnelPut, "_get": streams.TunnelGet} {
		raw, rawBusy, err := worked(rawTCP)
		if err != nil {
			return err
		}
		took, busy, err := worked(func() error { return throughTunnel(ctx, ask, rig.ID(), kind) })
		if err != nil {
			return fmt.Errorf("%s%s: %w", name, way, err)
		}
		mb := float64(tunnelBytes) / 1e6
		if err := r.add(figure{Name: name + way, Value: mb / took.Seconds(), Unit: "MB/s", Peer: "raw TCP",
			PeerValue: mb / raw.Seconds(), Target: target,
			OK: target == "" || raw.Seconds()/took.Seconds() >= tunnelLeast}); err != nil {
			return err
		}
		if err := r.add(figure{Name: name + way + "_cpu", Value: millis(busy) / mb, Unit: "ms of CPU per MB",
			Peer: "raw TCP", PeerValue: millis(rawBusy) / mb, OK: true}); err != nil {
			return err
		}
	}
	return tunnelEcho(ctx, ask, rig.ID(), name, r)
}

func loopbackHost(ctx context.Context, wg *sync.WaitGroup, listen []string) (*p2p.Host, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	h, err := p2p.New(p2p.Config{Network: "localnet-bench", Key: key, Listen: listen}, nil,
		slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	failed := make(chan error, 1)
	wg.Go(func() { failed <- h.Serve(ctx) })
	select {
	case <-h.Ready():
		return h, nil
	case err := <-failed:
		return nil, fmt.Errorf("start a host: %w", err)
	}
}

// throughTunnel moves tunnelBytes one way, to the other side's last word.
func throughTunnel(ctx context.Context, s *streams.Service, to market.NodeID, kind streams.TunnelKind) error {
	c, err := s.Tunnel(ctx, to, streams.TunnelOpen{Kind: kind, Args: []byte("{}")})
	if err != nil {
		return err
	}
	defer c.Abort()
	piece := make([]byte, tunnelPiece)
	if kind == streams.TunnelPut {
		for range tunnelBytes / tunnelPiece {
			if err := c.Write(streams.ChanIn, piece); err != nil {
				return err
			}
		}
		_, _, err = c.Read()
		return err
	}
	for left := tunnelBytes; left > 0; {
		_, data, err := c.ReadInto(piece)
		if err != nil {
			return err
		}
		left -= len(data)
	}
	return nil
}

// tunnelEcho is the round trip of a key that is typed in an exec.
func tunnelEcho(ctx context.Context, s *streams.Service, to market.NodeID, name string, r *report) error {
	c, err := s.Tunnel(ctx, to, streams.TunnelOpen{Kind: streams.TunnelExec, Args: []byte("{}")})
	if err != nil {
		return err
	}
	defer c.Abort()
	var took []time.Duration
	for range 2000 {
		began := time.Now()
		if err := c.Write(streams.ChanIn, []byte("x")); err != nil {
			return err
		}
		if _, _, err := c.Read(); err != nil {
			return err
		}
		took = append(took, time.Since(began))
	}
	return r.add(figure{Name: name + "_exec_p50", Value: millis(quantile(took, 0.5)), Unit: "ms", OK: true})
}

// rawTCP moves tunnelBytes through one TCP connection on loopback.
func rawTCP() (err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	var g errgroup.Group
	g.Go(func() error {
		c, err := net.Dial("tcp", l.Addr().String())
		piece := make([]byte, tunnelPiece)
		for i := 0; err == nil && i < tunnelBytes/tunnelPiece; i++ {
			_, err = c.Write(piece)
		}
		if err == nil {
			err = c.Close()
		}
		return err
	})
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.Copy(io.Discard, c); err != nil {
		return err
	}
	return g.Wait()
}
