package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/google/nftables"
)

// linesEvery is how often the guard logs its byte counts.
const linesEvery = 5 * time.Second

// Network closes the namespace, then lets out what cfg allows, says ready, and logs byte counts until it is stopped.
// Its end takes the interface away from the job, so that a dead guard means no network.
func Network(cfg NetworkConfig, stdout io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	out := json.NewEncoder(stdout)
	c, err := nftables.New()
	if err != nil {
		return errors.Join(out.Encode(NetworkLine{Error: err.Error()}), err)
	}
	err = closeAll(c)
	if err == nil {
		err = apply(c, cfg)
	}
	if err == nil {
		err = writeResolvers(cfg.Resolvers)
	}
	if err != nil {
		return errors.Join(out.Encode(NetworkLine{Error: err.Error()}), err)
	}
	line, err := count(c)
	if err != nil {
		return fmt.Errorf("read counters: %w", err)
	}
	line.Ready = true
	if err := out.Encode(line); err != nil {
		return fmt.Errorf("say ready: %w", err)
	}
	tick := time.NewTicker(linesEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			line, err := count(c)
			if err != nil {
				return fmt.Errorf("read counters: %w", err) // ending is the safe answer
			}
			if err := out.Encode(line); err != nil {
				return fmt.Errorf("log counters: %w", err)
			}
		}
	}
}

// writeResolvers replaces the resolv.conf that the job shares, in place: the engine's bind mount must stay the same
// file.
func writeResolvers(addrs []netip.Addr) error {
	var b strings.Builder
	for _, a := range addrs {
		fmt.Fprintf(&b, "nameserver %s\n", a)
	}
	b.WriteString("options timeout:2 attempts:2\n")
	f, err := os.OpenFile("/etc/resolv.conf", os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return fmt.Errorf("write resolvers: %w", err)
	}
	_, err = f.WriteString(b.String())
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write resolvers: %w", err)
	}
	return nil
}
