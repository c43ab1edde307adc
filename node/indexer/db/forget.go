package db

import (
	"fmt"
	"slices"
)

// What is over is kept for a while, and not more of it than this: keys cost nothing, so nobody can fill a disk with
// theirs. Providers whose leases a channel stands for are not among those that are forgotten.
const (
	maxGoneRigs  = 100_000
	maxGoneWants = 100_000 // rows, one of each model
)

// forgetRigs drops those that went first, with their probes.
func forgetRigs(a *applying) error {
	gone, err := rowsOf(a, func(s scanner) (peer string, err error) {
		err = s.Scan(&peer)
		return peer, err
	}, "SELECT peer FROM rigs WHERE live = 0 AND expires_at <= (SELECT expires_at FROM rigs WHERE live = 0 ORDER BY "+
		"expires_at DESC LIMIT 1 OFFSET $1) AND NOT EXISTS (SELECT 1 FROM leases WHERE provider = rigs.peer AND "+
		"settled >= $2)", maxGoneRigs, int64(SettledNot))
	if err != nil || len(gone) == 0 {
		return err
	}
	a.touched[Gossip] = true
	for part := range slices.Chunk(gone, maxRows) {
		places, args := a.in(part)
		for _, table := range []string{"rigs", "lots", "uptime"} {
			if err := a.exec("DELETE FROM "+table+" WHERE peer IN "+places, args...); err != nil {
				return err
			}
		}
	}
	return nil
}

// forgetWants drops those that ended first.
func forgetWants(a *applying) error {
	err := a.exec("DELETE FROM wants WHERE live = 0 AND until_at <= (SELECT until_at FROM wants WHERE live = 0 "+
		"ORDER BY "+
		"until_at DESC LIMIT 1 OFFSET $1)", maxGoneWants)
	if err == nil {
		err = a.exec("DELETE FROM wants WHERE live = 0 AND until_at < $1", a.now-wantsKept)
	}
	if err != nil {
		return fmt.Errorf("forget wants: %w", err)
	}
	return nil
}
