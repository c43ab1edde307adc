package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
)

// Limits of operations: how many are remembered once they are over, and how long one may take.
const (
	maxOperations = 1000
	operationTime = 10 * time.Minute
)

// Operation is work that goes on after its request was answered. State is running, done or failed. Done and total count
// in unit; total 0 is unknown. An order's own id names the operation of its current phase.
type Operation struct {
	Schema       string          `json:"schema"`
	ID           string          `json:"id"`
	State        string          `json:"state"`
	Phase        string          `json:"phase"`
	Done         uint64          `json:"done"`
	Total        uint64          `json:"total"`
	Unit         string          `json:"unit,omitempty"`
	Since        Time            `json:"since"`
	LastProgress Time            `json:"last_progress"`
	Result       json.RawMessage `json:"result,omitempty"`
	Error        *Problem        `json:"error,omitempty"`
}

// accepted and created are answers with a status of their own.
type (
	accepted struct{ op Operation }
	created  struct {
		v        any
		location string
	}
)

// operationID follows from the idempotency key, so that a repeat after a restart finds the same operation.
func operationID(key string) string {
	h := sha256.Sum256([]byte("gpuai/operation/1\x00" + key))
	return "operation_" + hex.EncodeToString(h[:13])
}

// begin runs f in the background and answers 202; the same id runs once.
func (s *Server) begin(ctx context.Context, id, phase string, f func(ctx context.Context) (any, error)) accepted {
	now := At(time.Now())
	op := Operation{Schema: "gpuai.operation/v1", ID: id, State: "running", Phase: phase, Since: now, LastProgress: now}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.operations[id]; ok && old.State == "running" {
		return accepted{old}
	}
	s.operations[id] = op
	s.opOrder = append(slices.DeleteFunc(s.opOrder, func(o string) bool { return o == id }), id)
	if len(s.opOrder) > maxOperations {
		s.dropOldest()
	}
	if s.life.Err() != nil {
		return accepted{op} // ending: the caller finds out with the next start, its key makes a repeat free
	}
	ctx = context.WithoutCancel(ctx) // the caller may go
	s.wg.Go(func() {
		s.told(op)
		ctx, cancel := context.WithTimeout(ctx, operationTime)
		defer cancel()
		stop := context.AfterFunc(s.life, cancel)
		defer stop()
		v, err := f(ctx)
		s.finish(id, v, err)
	})
	return accepted{op}
}

// dropOldest forgets one that is over. Caller holds mu.
func (s *Server) dropOldest() {
	for i, id := range s.opOrder {
		if s.operations[id].State != "running" {
			delete(s.operations, id)
			s.opOrder = slices.Delete(s.opOrder, i, i+1)
			return
		}
	}
}

func (s *Server) finish(id string, v any, err error) {
	s.mu.Lock()
	op := s.operations[id]
	op.State, op.LastProgress = "done", At(time.Now())
	if err == nil {
		op.Result, err = json.Marshal(v)
	}
	if err != nil {
		p := ProblemOf(err)
		op.State, op.Error = "failed", &p
		s.log.Warn("Operation failed", "operation", id, "code", p.Code, "error", err)
	}
	s.operations[id] = op
	s.mu.Unlock()
	s.told(op)
}

// withOperation puts the operation that a row names under what the row says; one of before this start has only the row.
func (s *Server) withOperation(row Event) json.RawMessage {
	var said map[string]any
	if json.Unmarshal(row.Data, &said) != nil {
		return row.Data
	}
	id, _ := said["id"].(string)
	s.mu.Lock()
	op, ok := s.operations[id]
	s.mu.Unlock()
	if !ok {
		return row.Data
	}
	doc := map[string]any{}
	if json.Unmarshal(render(op).Body, &doc) != nil {
		return row.Data
	}
	maps.Copy(doc, said)
	b, err := json.Marshal(doc)
	if err != nil {
		return row.Data
	}
	return b
}

// operation is one by its id, or the phase of an order.
func (s *Server) operation(r *http.Request) (any, error) {
	id := r.PathValue("id")
	if strings.HasPrefix(id, "order_") {
		o, err := s.b.Order(r.Context(), id)
		if err != nil {
			return nil, err
		}
		return orderOperation(o), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	op, ok := s.operations[id]
	if !ok {
		return nil, &market.Error{Code: "not-found", Kind: market.KindNotFound, Op: "find operation",
			Detail: "none of this node's last start has this id",
			Hint:   "send the request again with its Idempotency-Key"}
	}
	return op, nil
}

func orderOperation(o Order) Operation {
	op := Operation{
		Schema: "gpuai.operation/v1", ID: o.ID, State: "running", Phase: o.Progress.Phase, Done: o.Progress.Done,
		Total: o.Progress.Total, Since: o.CreatedAt,
		LastProgress: o.CreatedAt,
	}
	if op.Phase == "" {
		op.Phase = o.Standing
	}
	if op.Total > 0 {
		op.Unit = "bytes"
	}
	if n := len(o.Steps); n > 0 {
		op.Since, op.LastProgress = o.Steps[n-1].At, o.Steps[n-1].At
	}
	switch o.Standing {
	case "ended":
		op.State = "done"
	case "failed":
		op.State = "failed"
		p := ProblemOf(&market.Error{Code: o.Code, Kind: market.KindConflict, Detail: o.Detail, Hint: o.Hint})
		op.Error = &p
	}
	return op
}
