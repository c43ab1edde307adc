//go:build race

package nodetest

const raceOn = true
