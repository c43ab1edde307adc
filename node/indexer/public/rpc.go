package public

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/gpuai/gpuai/escrow/solana"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rest"
)

// Relay hands a call on to the ledger's endpoints. Errors: those of solana.Relay.
type Relay interface {
	Call(ctx context.Context, method string, params []json.RawMessage) (json.RawMessage, error)
}

// Limits of an address for calls that are relayed: a second, and at once.
const (
	rpcPerSecond = 5
	rpcBurst     = 10
	maxRPCID     = 64 // bytes
)

// RPCCall is one JSON-RPC 2.0 call. The id is told back as it is: text or a number.
type RPCCall struct {
	JSONRPC string     `json:"jsonrpc" enum:"2.0"`
	ID      rest.Any   `json:"id"`
	Method  string     `json:"method" maxLength:"40" doc:"one of the list" example:"getBlockHeight"`
	Params  []rest.Any `json:"params,omitempty" maxItems:"2"`
}

// RPCAnswer has a result, or an error.
type RPCAnswer struct {
	JSONRPC string    `json:"jsonrpc"`
	ID      rest.Any  `json:"id"`
	Result  rest.Any  `json:"result,omitempty"`
	Error   *RPCError `json:"error,omitempty"`
}

// RPCError has a code of JSON-RPC (-32601 method, -32602 parameters, -32600 refused here, -32000 not answered), or what
// the ledger's endpoint says. Data is a problem document where it comes from here.
type RPCError struct {
	Code    int      `json:"code"`
	Message string   `json:"message"`
	Data    rest.Any `json:"data,omitempty"`
}

type rpcIn struct{ Body RPCCall }

// relays are the routes of the ledger; the relay may be nil.
type relays struct{ to Relay }

func (p relays) route() rest.Route {
	return rest.Call("POST", "/rpc", "rpc", "calls of the ledger's RPC that a web page needs", p.relay).
		In(rest.ScopeNone).Says(rpcAbout).
		Asks(`{"jsonrpc": "2.0", "id": 1, "method": "getLatestBlockhash", "params": [{"commitment": "confirmed"}]}`)
}

const rpcAbout = "JSON-RPC 2.0, one call a request; a list of calls (a batch) is refused with 400. Relayed are " +
	"getLatestBlockhash, getBlockHeight, getAccountInfo, getMultipleAccounts, getFeeForMessage, " +
	"getSignatureStatuses, simulateTransaction and sendTransaction. Encodings are base64. A transaction must be of " +
	"the escrow: legacy or v0 without lookup tables, each instruction one of the escrow program, a plain transfer, " +
	"a compute limit or the signature check of a voucher. 5 calls a second and address."

func (p relays) relay(ctx context.Context, in *rpcIn) (RPCAnswer, error) {
	out := RPCAnswer{JSONRPC: "2.0", ID: in.Body.ID}
	if !isID(in.Body.ID) {
		return out, rest.Usage(400, "id is text or a number, of at most 64 bytes")
	}
	params := make([]json.RawMessage, len(in.Body.Params))
	for i, v := range in.Body.Params {
		params[i] = json.RawMessage(v)
	}
	got, err := json.RawMessage(nil), rest.NoEndpoint()
	if p.to != nil {
		got, err = p.to.Call(ctx, in.Body.Method, params)
	}
	if err != nil {
		out.Error = rpcErrorOf(err)
		return out, nil
	}
	out.Result = rest.Any(got)
	return out, nil
}

// isID reports an id that an answer may carry.
func isID(id rest.Any) bool {
	if len(id) == 0 || len(id) > maxRPCID {
		return false
	}
	return id[0] == '"' || id[0] == '-' || id[0] >= '0' && id[0] <= '9'
}

// rpcErrorOf tells an error in JSON-RPC's form; the problem goes with it, so that its code and next step are not lost.
func rpcErrorOf(err error) *RPCError {
	var refused *solana.Refused
	if errors.As(err, &refused) {
		return &RPCError{refused.Code, refused.Message, rest.Any(refused.Data)}
	}
	problem := rest.ProblemOf(err)
	doc, _ := json.Marshal(problem) // of texts and numbers
	code := -32000
	switch problem.Code {
	case market.CodeNotFound:
		code = -32601
	case market.CodeBadUsage:
		code = -32602
	case market.CodeNotAllowed, market.CodeMalformed:
		code = -32600
	}
	return &RPCError{code, problem.Why, doc}
}
