package demo

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gpuai/gpuai/cmd/gpuai/demo/check"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/runtime/spec"
)

const maxOutput = 64 << 20

func (r *run) sendInputs(ctx context.Context) error {
	pr, pw := io.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := spec.Pack(pw, []spec.Source{r.s.scene})
		_ = pw.CloseWithError(err) // nil ends the archive
	})
	err := r.s.customer.client.PutInputs(ctx, r.s.orderID, pr)
	_ = pr.CloseWithError(err) // wakes a packer that nobody reads
	wg.Wait()
	return err
}

// outputs is check 7.
func (r *run) outputs(ctx context.Context) error {
	err := r.wait(ctx, "both signatures", 60*time.Second,
		func(o api.Order) bool { return o.OutputsReady && o.OutcomeSignedByBoth })
	if err != nil {
		return err
	}
	var raw bytes.Buffer
	if err := r.s.customer.client.GetOutputs(ctx, r.s.orderID, false, &raw); err != nil {
		return err
	}
	picture, report, err := r.verify(raw.Bytes(), r.s.order.OutputsRoot)
	if err != nil {
		return err
	}
	r.s.logs.Wait()
	if r.s.logsErr != nil {
		return fmt.Errorf("read logs: %w", r.s.logsErr)
	}
	if r.o.Keep {
		if err := os.WriteFile(filepath.Join(r.dir, "frame.png"), picture, 0o600); err != nil {
			return fmt.Errorf("keep picture: %w", err)
		}
	}
	h := sha256.Sum256(picture)
	r.ok("outputs", "frame.png sha256:%x…, root as both signed; input %s…; 256 pixels recomputed by a second "+
		"implementation", h[:8], report.InputSHA256[:16])
	return nil
}

// verify checks an archive of outputs against the root that both signed, and the picture against the scene. Errors:
// what differs.
func (r *run) verify(archive []byte, signed string) (picture []byte, report check.Report, err error) {
	m, err := spec.Filter(bytes.NewReader(archive), io.Discard, spec.Limits{Total: maxOutput}, nil)
	if err != nil {
		return nil, report, fmt.Errorf("read outputs: %w", err)
	}
	if root := m.ID(); hex.EncodeToString(root[:]) != signed {
		return nil, report, fmt.Errorf("outputs are %x, both signed %s", root, signed)
	}
	files, err := untar(bytes.NewReader(archive))
	if err != nil {
		return nil, report, err
	}
	var seed [32]byte // chosen now, after the job
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, report, err
	}
	picture = files["out/frame.png"]
	if err := check.Check(r.o.Scene, picture, files["out/report.json"], seed); err != nil {
		return nil, report, err
	}
	report, err = check.ParseReport(files["out/report.json"])
	return picture, report, err
}

func untar(r io.Reader) (map[string][]byte, error) {
	out := map[string][]byte{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read outputs: %w", err)
		}
		if out[h.Name], err = io.ReadAll(io.LimitReader(tr, maxOutput)); err != nil {
			return nil, fmt.Errorf("read outputs: %w", err)
		}
	}
}
