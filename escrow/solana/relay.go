package solana

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
)

// Bounds of what is relayed.
const (
	relayWithin    = 10 * time.Second
	relayAtOnce    = 16 // calls under way, of all callers
	maxRelayed     = 100
	maxSignatures  = 100
	maxRefusal     = 400     // bytes of an endpoint's message
	maxRefusalData = 8 << 10 // and of what it adds
)

// Relay hands calls of a few methods on to endpoints, so that a web page can read accounts and send a transaction of
// the escrow without an endpoint of its own. Use NewRelay. Each call is read and written anew: what was not understood
// is not passed on.
type Relay struct {
	rpc     *rpcClient
	program market.Address
	room    chan struct{}
}

// NewRelay relays to these endpoints, in order, those that are of the ledger with this genesis.
func NewRelay(rpc []string, genesis string, program market.Address) *Relay {
	r := &Relay{rpc: newRPC(rpc), program: program, room: make(chan struct{}, relayAtOnce)}
	r.rpc.genesis = genesis
	return r
}

// Refused is what an endpoint says instead of an answer, without its key.
type Refused struct {
	Code    int
	Message string
	Data    json.RawMessage // nil: none, or too long
}

func (e *Refused) Error() string {
	return fmt.Sprintf("the ledger's endpoint says %d: %s", e.Code, e.Message)
}

// RelayMethods are those that Call takes.
func RelayMethods() []string {
	var out []string
	for name := range relayed {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Call relays one. Errors: *Refused; *market.Error not-found: the method is none of RelayMethods; bad-usage: its
// parameters; not-allowed, malformed: its transaction; busy; chain-unreachable.
func (r *Relay) Call(ctx context.Context, method string, params []json.RawMessage) (json.RawMessage, error) {
	m, known := relayed[method]
	if !known {
		return nil, &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "relay",
			Detail: "this method is not relayed", Hint: "relayed are " + strings.Join(RelayMethods(), ", ")}
	}
	send, err := m.read(r, params)
	if err != nil {
		return nil, err
	}
	select {
	case r.room <- struct{}{}:
		defer func() { <-r.room }()
	default:
		return nil, &market.Error{Code: market.CodeBusy, Kind: market.KindUnavailable, Op: "relay",
			Detail: "too many calls are under way", Hint: "try again in a second"}
	}
	ctx, cancel := context.WithTimeout(ctx, relayWithin)
	defer cancel()
	return r.ask(ctx, method, m, send)
}

// ask asks endpoints in order until one answers in the method's form. What the last one refuses is told.
func (r *Relay) ask(ctx context.Context, method string, m relayedMethod, params []any) (json.RawMessage, error) {
	var refused *Refused
	var errs []error
	for _, u := range r.rpc.urls {
		var out json.RawMessage
		err := r.rpc.one(ctx, u, &out, method, params)
		if err == nil && !m.shape(out) {
			err = hide(u, fmt.Errorf("answer to %s has another form", method))
		}
		if err == nil {
			return out, nil
		}
		var e *rpcError
		if errors.As(err, &e) {
			refused = refusedBy(u, e)
		}
		errs = append(errs, err)
	}
	if refused != nil {
		return nil, refused
	}
	e := unreachable(method, errors.Join(errs...))
	var shown *market.Error
	if errors.As(e, &shown) { // hosts of endpoints are the operator's own
		shown.Detail, shown.Hint = "no endpoint of this indexer gave an answer", "try again, or ask another indexer"
	}
	return nil, e
}

func refusedBy(url string, e *rpcError) *Refused {
	out := &Refused{Code: e.Code, Message: scrub(e.Message, url)}
	if len(out.Message) > maxRefusal {
		out.Message = strings.ToValidUTF8(out.Message[:maxRefusal], "")
	}
	if data := []byte(scrub(string(e.Data), url)); len(data) <= maxRefusalData && json.Valid(data) {
		out.Data = data
	}
	return out
}

// relayedMethod reads the parameters of a call into what is sent, and knows the form of an answer.
type relayedMethod struct {
	read  func(r *Relay, params []json.RawMessage) ([]any, error)
	shape func(json.RawMessage) bool
}

// relayOptions are all that a relayed call may have. What is absent is not sent.
type relayOptions struct {
	Commitment     string      `json:"commitment,omitempty"`
	Preflight      string      `json:"preflightCommitment,omitempty"`
	MinContextSlot uint64      `json:"minContextSlot,omitempty"`
	Encoding       string      `json:"encoding,omitempty"`
	Slice          *relaySlice `json:"dataSlice,omitempty"`
	History        bool        `json:"searchTransactionHistory,omitempty"`
	SigVerify      bool        `json:"sigVerify,omitempty"`
	Replace        bool        `json:"replaceRecentBlockhash,omitempty"`
	SkipPreflight  bool        `json:"skipPreflight,omitempty"`
	MaxRetries     *uint8      `json:"maxRetries,omitempty"`
}

type relaySlice struct {
	Offset uint32 `json:"offset"`
	Length uint32 `json:"length"`
}

func wrongParams(detail string) error {
	return &market.Error{Code: market.CodeBadUsage, Kind: market.KindInvalid, Op: "read parameters", Detail: detail,
		Hint: "see /definitions, and the RPC's own reference"}
}

// options reads the parameter at a place, where there may be one, and nothing behind it. encoding: the call has one,
// and it is base64: others are shorter than what they stand for, or larger.
func options(params []json.RawMessage, at int, encoding bool) (o relayOptions, err error) {
	if len(params) > at+1 {
		return o, wrongParams("too many parameters")
	}
	if len(params) > at && !bytes.Equal(params[at], []byte("null")) {
		d := json.NewDecoder(bytes.NewReader(params[at]))
		d.DisallowUnknownFields()
		if d.Decode(&o) != nil {
			return o, wrongParams("an option is unknown, or of another form")
		}
	}
	for _, c := range []string{o.Commitment, o.Preflight} {
		if c != "" && c != "processed" && c != "confirmed" && c != "finalized" {
			return o, wrongParams("a commitment is processed, confirmed or finalized")
		}
	}
	if encoding && o.Encoding != "base64" {
		return o, wrongParams("encoding must be base64")
	}
	return o, nil
}

// param reads the first parameter.
func param[T any](params []json.RawMessage, what string) (v T, err error) {
	if len(params) == 0 || bytes.Equal(params[0], []byte("null")) || json.Unmarshal(params[0], &v) != nil {
		return v, wrongParams("the first parameter must be " + what)
	}
	return v, nil
}

func optionsOnly(_ *Relay, params []json.RawMessage) ([]any, error) {
	o, err := options(params, 0, false)
	return []any{o}, err
}

func ofAccount(_ *Relay, params []json.RawMessage) ([]any, error) {
	a, err := param[market.Address](params, "an address")
	if err != nil {
		return nil, err
	}
	o, err := options(params, 1, true)
	return []any{a.String(), o}, err
}

func ofAccounts(_ *Relay, params []json.RawMessage) ([]any, error) {
	list, err := param[[]market.Address](params, "a list of addresses")
	if err == nil && (len(list) == 0 || len(list) > maxRelayed) {
		err = wrongParams(fmt.Sprintf("one call takes 1 to %d accounts", maxRelayed))
	}
	if err != nil {
		return nil, err
	}
	names := make([]string, len(list))
	for i, a := range list {
		names[i] = a.String()
	}
	o, err := options(params, 1, true)
	return []any{names, o}, err
}

func ofMessage(_ *Relay, params []json.RawMessage) ([]any, error) {
	text, err := param[string](params, "a message in base64")
	if err == nil {
		err = checkMessage(text)
	}
	if err != nil {
		return nil, err
	}
	o, err := options(params, 1, false)
	return []any{text, o}, err
}

func ofSignatures(_ *Relay, params []json.RawMessage) ([]any, error) {
	list, err := param[[]string](params, "a list of signatures")
	if err == nil && (len(list) == 0 || len(list) > maxSignatures) {
		err = wrongParams(fmt.Sprintf("one call takes 1 to %d signatures", maxSignatures))
	}
	for _, s := range list {
		if _, bad := market.ParseBase58(s, 64); err == nil && bad != nil {
			err = wrongParams("a signature is base58 of 64 bytes")
		}
	}
	if err != nil {
		return nil, err
	}
	o, err := options(params, 1, false)
	return []any{list, o}, err
}

// ofTransaction reads one that is within the program list. sent: its signatures must hold.
func ofTransaction(sent bool) func(r *Relay, params []json.RawMessage) ([]any, error) {
	return func(r *Relay, params []json.RawMessage) ([]any, error) {
		text, err := param[string](params, "a transaction in base64")
		if err != nil {
			return nil, err
		}
		o, err := options(params, 1, true)
		if err != nil {
			return nil, err
		}
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, wrongParams("the first parameter must be a transaction in base64")
		}
		if err := within(raw, r.program, sent || o.SigVerify); err != nil {
			return nil, err
		}
		return []any{base64.StdEncoding.EncodeToString(raw), o}, nil
	}
}

// Forms of answers. A form is not the truth: an endpoint may still say what is not so.

func isNumber(b json.RawMessage) bool {
	var v uint64
	return json.Unmarshal(b, &v) == nil && string(b) != "null"
}

func isText(b json.RawMessage) bool {
	var v string
	return json.Unmarshal(b, &v) == nil && v != "" && len(v) <= 100
}

// withContext is an answer as of a slot.
func withContext(b json.RawMessage) bool {
	var v struct {
		Context *contextSlot    `json:"context"`
		Value   json.RawMessage `json:"value"`
	}
	return json.Unmarshal(b, &v) == nil && v.Context != nil && v.Value != nil
}

var relayed = map[string]relayedMethod{
	"getLatestBlockhash":   {optionsOnly, withContext},
	"getBlockHeight":       {optionsOnly, isNumber},
	"getAccountInfo":       {ofAccount, withContext},
	"getMultipleAccounts":  {ofAccounts, withContext},
	"getFeeForMessage":     {ofMessage, withContext},
	"getSignatureStatuses": {ofSignatures, withContext},
	"simulateTransaction":  {ofTransaction(false), withContext},
	"sendTransaction":      {ofTransaction(true), isText},
}
