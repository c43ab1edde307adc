package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
)

// oneWay and roundTrip are those of the simulated networks, ms.
const (
	oneWay    = 50.0
	roundTrip = 2 * oneWay
)

// figureLine is what tests of simulated networks log.
var figureLine = regexp.MustCompile(`(?m)^\s+\S+\.go:\d+: figure (\S+) (\S+) (\S+)$`)

// benchGossip grows a network of real nodes in virtual time and reports how far and at what cost an Offer spreads.
func benchGossip(ctx context.Context, o options, r *report) error {
	size, env := "50", []string(nil)
	if o.long {
		size, env = "200", []string{"GPUAI_LONG=1"}
	}
	return simulated(ctx, r, "gossip_"+size+"_", "^TestCrowd_AllHearAll_AsTheModelSays$/^"+size+"$", "./p2p/crowdtest",
		env, func(f *figure, name string) {
			switch name {
			case "p50", "p99", "all":
				f.Peer, f.PeerValue, f.Target = "one way", oneWay, "≤ 6 times"
				f.OK = f.Value <= 6*oneWay
			case "peers_min":
				f.Target, f.OK = "≥ 24", f.Value >= 24
			case "missing":
				f.Target, f.OK = "0", f.Value == 0
			}
		})
}

// benchDHT reports how long announcements and look-ups take in such a network, beside one round trip.
func benchDHT(ctx context.Context, _ options, r *report) error {
	return simulated(ctx, r, "dht_", "^TestSim_Figures$", "./p2p/dht", nil, func(f *figure, _ string) {
		f.Peer, f.PeerValue = "round trip", roundTrip
	})
}

// simulated runs a test and reports what it logs; judge adds peers and targets.
func simulated(ctx context.Context, r *report, prefix, test, pkg string, env []string,
	judge func(f *figure, name string)) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-timeout", "60m", "-run", test, pkg)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	list, perr := loggedFigures(out)
	for _, f := range list { // also those of a run that failed
		name := f.Name
		f.Name = prefix + name
		judge(&f, name)
		if err := r.add(f); err != nil {
			return err
		}
	}
	if err = errors.Join(err, perr); err != nil {
		return fmt.Errorf("%s: %w\n%s", test, err, out)
	}
	return nil
}

func loggedFigures(out []byte) (list []figure, err error) {
	for _, m := range figureLine.FindAllSubmatch(out, -1) {
		v, err := strconv.ParseFloat(string(m[2]), 64)
		if err != nil {
			return nil, err
		}
		list = append(list, figure{Name: string(m[1]), Value: v, Unit: string(m[3]), OK: true})
	}
	if len(list) == 0 {
		return nil, errors.New("no figures in its log")
	}
	return list, nil
}
