package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
	"time"
)

// options are the flags of every bench; each reads those that concern it.
type options struct {
	json    bool
	exe     string
	runs    int
	peers   int
	load    time.Duration
	settle  time.Duration
	window  time.Duration
	rows    int
	queries int
	ended   int
	conns   int
	keep    bool
	long    bool
	svg     string
	profile string
}

// bench measures and reports through r.
type bench func(ctx context.Context, o options, r *report) error

func benches() map[string]bench {
	return map[string]bench{"start": benchStart, "cu": benchCU, "idle": benchIdle, "match": benchMatch,
		"vouchers": benchVouchers, "ended": benchEnded, "gossip": benchGossip, "dht": benchDHT, "model": benchModel,
		"put": benchPut, "validate": benchValidate, "tunnel": benchTunnel,
		"sync": benchSync, "infra": benchInfra, "index": benchIndex, "public": benchPublic, "rebuild": benchRebuild}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.BoolVar(&o.json, "json", false, "one JSON object per figure")
	fs.StringVar(&o.exe, "exe", "bin/gpuai", "start, idle, ended: the binary that runs the nodes")
	fs.IntVar(&o.runs, "runs", 12, "start: orders on an open channel")
	fs.IntVar(&o.peers, "peers", 24, "idle: peers of the idle node")
	fs.DurationVar(&o.load, "load", 8*time.Second, "vouchers: length of each load")
	fs.DurationVar(&o.settle, "settle", 30*time.Second, "idle: time before the measurement")
	fs.DurationVar(&o.window, "window", 60*time.Second, "idle: length of the measurement")
	fs.IntVar(&o.rows, "rows", 1_000_000,
		"match, put: groups in the book; index: Offers, at most 200,000; public: offers; rebuild: channels")
	fs.IntVar(&o.queries, "queries", 2000,
		"match: of each kind; a twentieth of them by the peer, too; public: of each kind")
	fs.IntVar(&o.ended, "ended", 10_000, "ended: orders, and leases, in the store")
	fs.IntVar(&o.conns, "conns", 2048, "infra: peers that dial the meeting point")
	fs.BoolVar(&o.long, "long", false, "gossip: 200 nodes, not 50")
	fs.StringVar(&o.svg, "svg", "", "model: where to draw it")
	fs.StringVar(&o.profile, "profile", "", "where to write a profile of the processor")
	fs.BoolVar(&o.keep, "keep", false, "keep the nodes' folder")
	usage := fmt.Errorf("usage: bench start|vouchers|cu|idle|match|ended|gossip|dht|model|put|validate|tunnel|" +
		"sync|infra|index|public|rebuild " +
		"[-json] [flags]; flags: bench start -h")
	if len(args) == 0 {
		return usage
	}
	b, ok := benches()[args[0]]
	if !ok {
		return usage
	}
	if err := fs.Parse(args[1:]); err != nil {
		return err
	}
	if !measures {
		return errors.New("benches measure on Unix only")
	}
	if fs.NArg() > 0 || o.runs < 1 || o.peers < 0 || o.load <= 0 || o.window <= 0 || o.rows < 1 ||
		o.queries < 1 || o.conns < 1 || o.ended <= endedReal {
		return usage
	}
	r, err := newReport(ctx, out, o.json)
	if err != nil {
		return err
	}
	if err := profiled(o.profile, func() error { return b(ctx, o, r) }); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return nil
}

// profiled runs f and writes where it spent the processor's time, if a file is named.
func profiled(name string, f func() error) (err error) {
	if name == "" {
		return f()
	}
	to, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if err := pprof.StartCPUProfile(to); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return f()
}
