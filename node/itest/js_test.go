//go:build integration

package itest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/node/config"
)

// TestJS_AnotherImplementation_IsAPeer: a js-libp2p client that knows the wire from its description dials a rig, is
// identified, pings, hears and verifies the rig's Offer, finds the rig in the DHT and asks it for a quote; nobody bans
// it for being another program.
func TestJS_AnotherImplementation_IsAPeer(t *testing.T) {
	r := newRig(t)
	rig := start(t, "provider", r.srv, func(c *config.Config) {
		c.Node.Roles, c.P2P.Bootstrap = []string{"provider"}, r.boot.Addrs()
		c.P2P.Listen = append(c.P2P.Listen, "/ip4/127.0.0.1/tcp/0")
		c.Provider.Payout, c.Provider.Rate = r.payout.String(), "1/h"
		c.Provider.Simulate = []string{"rtx-4090:1"}
		c.Provider.DockerHost, c.Provider.AllowWeakRuntime, c.Provider.Egress = r.docker, true, "none"
	})
	address := ""
	for _, a := range rig.Addrs() {
		if strings.Contains(a, "/tcp/") {
			address = a
		}
	}
	if address == "" {
		t.Fatalf("the rig does not listen on TCP: %v", rig.Addrs())
	}
	client := exec.CommandContext(t.Context(), "node", "client.mjs", network, address, "../../wire/documents.proto",
		"rtx-4090")
	client.Dir = "../../p2p/testdata/js"
	var said, failed bytes.Buffer
	client.Stdout, client.Stderr = &said, &failed
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	waiting.Go(func() { ended <- client.Wait() })
	again := time.NewTicker(3 * time.Second)
	defer again.Stop()
	for selling, done := true, false; !done; {
		select {
		case err := <-ended:
			if done = true; err != nil {
				t.Fatalf("client: %v\n%s%s", err, &said, &failed)
			}
		case <-again.C: // gossip brings nobody what was said before he came
			selling = !selling
			rig.Provider().SetSelling(selling)
		}
	}
	type step struct {
		Step, Version, Class, Code, Rate string
		Providers                        []string
		Kad, Connected                   bool
	}
	steps := map[string]step{}
	for lines := bufio.NewScanner(&said); lines.Scan(); {
		var s step
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatalf("line %q: %v", lines.Text(), err)
		}
		steps[s.Step] = s
	}
	id := rig.Host().ID().String()
	switch {
	case steps["identified"].Version != "/gpuai/"+network+"/1" || !steps["identified"].Kad:
		t.Errorf("identified: %+v", steps["identified"])
	case steps["heard"].Class != "rtx-4090":
		t.Errorf("heard: %+v", steps["heard"])
	case len(steps["found"].Providers) == 0 || steps["found"].Providers[0] != id:
		t.Errorf("found %v, want %s", steps["found"].Providers, id)
	case steps["quoted"].Rate == "" && steps["refused"].Code == "":
		t.Errorf("no answer to a question for a quote: %s", &said)
	case !steps["stays"].Connected:
		t.Error("the client was thrown out")
	}
	if steps["pinged"].Step == "" {
		t.Errorf("no ping: %s", &said)
	}
}
