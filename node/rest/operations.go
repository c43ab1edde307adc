package rest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"sync"
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

// Operations are the long work of a Mux.
type Operations struct {
	told func(Operation)
	log  *slog.Logger
	life context.Context // ends with close
	end  context.CancelFunc
	wg   sync.WaitGroup

	mu    sync.Mutex
	byID  map[string]Operation
	order []string // oldest first
}

func newOperations(told func(Operation), log *slog.Logger) *Operations {
	if told == nil {
		told = func(Operation) {}
	}
	o := &Operations{told: told, log: log, byID: map[string]Operation{}}
	o.life, o.end = context.WithCancel(context.Background())
	return o
}

// Life ends when the Mux closes.
func (o *Operations) Life() context.Context { return o.life }

// close ends operations and waits for them.
func (o *Operations) close() {
	o.mu.Lock()
	o.end() // under the lock: what begins later sees it
	o.mu.Unlock()
	o.wg.Wait()
}

// OperationID follows from the idempotency key, so that a repeat after a restart finds the same operation.
func OperationID(key string) string {
	h := sha256.Sum256([]byte("gpuai/operation/1\x00" + key))
	return "operation_" + hex.EncodeToString(h[:13])
}

// Begin runs f in the background and answers 202; the same id runs once.
func (o *Operations) Begin(ctx context.Context, id, phase string, f func(ctx context.Context) (any, error)) Operation {
	now := At(time.Now())
	op := Operation{Schema: "gpuai.operation/v1", ID: id, State: "running", Phase: phase, Since: now, LastProgress: now}
	o.mu.Lock()
	defer o.mu.Unlock()
	if old, ok := o.byID[id]; ok && old.State == "running" {
		return old
	}
	o.byID[id] = op
	o.order = append(slices.DeleteFunc(o.order, func(x string) bool { return x == id }), id)
	if len(o.order) > maxOperations {
		o.dropOldest()
	}
	if o.life.Err() != nil {
		return op // ending: the caller finds out with the next start, its key makes a repeat free
	}
	ctx = context.WithoutCancel(ctx) // the caller may go
	o.wg.Go(func() {
		o.told(op)
		ctx, cancel := context.WithTimeout(ctx, operationTime)
		defer cancel()
		stop := context.AfterFunc(o.life, cancel)
		defer stop()
		v, err := f(ctx)
		o.finish(id, v, err)
	})
	return op
}

// dropOldest forgets one that is over. Caller holds mu.
func (o *Operations) dropOldest() {
	for i, id := range o.order {
		if o.byID[id].State != "running" {
			delete(o.byID, id)
			o.order = slices.Delete(o.order, i, i+1)
			return
		}
	}
}

func (o *Operations) finish(id string, v any, err error) {
	o.mu.Lock()
	op := o.byID[id]
	op.State, op.LastProgress = "done", At(time.Now())
	if err == nil {
		op.Result, err = json.Marshal(v)
	}
	if err != nil {
		p := ProblemOf(err)
		op.State, op.Error = "failed", &p
		o.log.Warn("Operation failed", "operation", id, "code", p.Code, "error", err)
	}
	o.byID[id] = op
	o.mu.Unlock()
	o.told(op)
}

// Dress puts the operation that a row names under what the row says; one of before this start has only the row.
func (o *Operations) Dress(row Event) json.RawMessage {
	var said map[string]any
	if json.Unmarshal(row.Data, &said) != nil {
		return row.Data
	}
	id, _ := said["id"].(string)
	o.mu.Lock()
	op, ok := o.byID[id]
	o.mu.Unlock()
	if !ok {
		return row.Data
	}
	doc := map[string]any{}
	if json.Unmarshal(encode(op), &doc) != nil {
		return row.Data
	}
	maps.Copy(doc, said)
	b, err := json.Marshal(doc)
	if err != nil {
		return row.Data
	}
	return b
}

// Get is one by its id. Error: not-found.
func (o *Operations) Get(id string) (Operation, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	op, ok := o.byID[id]
	if !ok {
		return op, &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "find operation",
			Detail: "none of this node's last start has this id",
			Hint:   "send the request again with its Idempotency-Key"}
	}
	return op, nil
}
