package solana

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	solanago "github.com/gagliardetto/solana-go"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

const relayKey = "/v2/secretkey123456"

// upstream answers each method with a result, and keeps what it was sent.
type upstream struct {
	mu     sync.Mutex
	seen   []string
	answer func(id, method string) string
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	var req struct {
		ID     json.RawMessage
		Method string
	}
	_ = json.Unmarshal(b, &req) // it is ours
	u.mu.Lock()
	u.seen = append(u.seen, string(b))
	u.mu.Unlock()
	_, _ = io.WriteString(w, u.answer(string(req.ID), req.Method))
}

func (u *upstream) calls() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.seen)
}

func goodAnswer(id, method string) string {
	result := `{"context":{"slot":9},"value":null}`
	switch method {
	case "getBlockHeight":
		result = "77"
	case "sendTransaction":
		result = `"5sig"`
	}
	return `{"jsonrpc":"2.0","id":` + id + `,"result":` + result + `}`
}

var relayProgram = market.Address{7, 7}

func newUpstream(t *testing.T, answer func(id, method string) string) (*Relay, *upstream) {
	t.Helper()
	u := &upstream{answer: answer}
	s := httptest.NewServer(u)
	t.Cleanup(s.Close)
	return NewRelay([]string{s.URL + relayKey}, "", relayProgram), u
}

func raws(texts ...string) (out []json.RawMessage) {
	for _, t := range texts {
		out = append(out, json.RawMessage(t))
	}
	return out
}

const base64Only = `{"encoding":"base64"}`

// signedTx is a transaction of instructions by a signer, base64 in quotes.
func signedTx(t *testing.T, ixs ...instruction) string {
	t.Helper()
	raw, _, err := compile(testSigner("payer"), [32]byte{1}, ixs)
	if err != nil {
		t.Fatal(err)
	}
	return quoted(raw)
}

func quoted(raw []byte) string { return `"` + base64.StdEncoding.EncodeToString(raw) + `"` }

func relayIxs() (payer market.Address, seal, transfer instruction) {
	payer = market.Address(escrow.PublicKey(testSigner("payer")))
	return payer, requestCloseIx(relayProgram, payer, market.ChannelID{9}), transferIx(payer, market.Address{3}, 5)
}

// TestRelay_Passes: each method of the list gets its answer, and what is sent is written anew.
func TestRelay_Passes(t *testing.T) {
	t.Parallel()
	r, u := newUpstream(t, goodAnswer)
	_, seal, transfer := relayIxs()
	addr := `"` + market.Address{5}.String() + `"`
	tx := signedTx(t, append(budgetIx(1000, 5), transfer, seal)...)
	for method, params := range map[string][]json.RawMessage{
		"getLatestBlockhash": nil, "getBlockHeight": raws(`{"commitment":"confirmed"}`),
		"getAccountInfo":       raws(addr, `{"dataSlice":{"offset":0,"length":8}, "ENCODING":"base64"}`),
		"getMultipleAccounts":  raws("["+addr+"]", base64Only),
		"getFeeForMessage":     raws(`"AQID"`),
		"getSignatureStatuses": raws(`["` + strings.Repeat("1", 64) + `"]`),
		"simulateTransaction":  raws(tx, base64Only), "sendTransaction": raws(tx, base64Only),
	} {
		if got, err := r.Call(t.Context(), method, params); err != nil || len(got) == 0 {
			t.Errorf("%s: %s, %v", method, got, err)
		}
	}
	if n := len(u.calls()); n != len(relayed) || n != len(RelayMethods()) {
		t.Errorf("%d calls came through", n)
	}
	for _, c := range u.calls() {
		if strings.Contains(c, "ENCODING") {
			t.Errorf("passed on as it came: %s", c)
		}
	}
}

// TestRelay_IsNotOpen: what is not of the list, or hides something, does not reach an endpoint.
func TestRelay_IsNotOpen(t *testing.T) {
	t.Parallel()
	r, u := newUpstream(t, goodAnswer)
	payer, seal, transfer := relayIxs()
	other := instruction{market.Address{8}, []meta{rw(payer)}, []byte{1}}
	forged := seal
	forged.data = []byte{99}
	long := seal
	long.data = append(slices.Clone(seal.data), 0)
	few := seal
	few.metas = few.metas[:1]
	create := transfer
	create.data = append([]byte{3, 0, 0, 0}, make([]byte, 8)...)
	check := instruction{program: ed25519Program, data: make([]byte, escrow.Ed25519DataLen)}
	addr := `"` + market.Address{5}.String() + `"`
	many := "[" + strings.TrimSuffix(strings.Repeat(addr+",", 101), ",") + "]"
	send := func(ixs ...instruction) []json.RawMessage { return raws(signedTx(t, ixs...), base64Only) }
	for what, c := range map[string]struct {
		method string
		params []json.RawMessage
		code   market.Code
	}{
		"another method":     {"getProgramAccounts", raws(addr), market.CodeNotFound},
		"case":               {"SendTransaction", send(other), market.CodeNotFound},
		"a space":            {"sendTransaction ", send(other), market.CodeNotFound},
		"NUL":                {"getBlockHeight\x00", nil, market.CodeNotFound},
		"foreign program":    {"sendTransaction", send(seal, other), market.CodeNotAllowed},
		"simulated":          {"simulateTransaction", send(seal, other), market.CodeNotAllowed},
		"foreign tag":        {"sendTransaction", send(forged), market.CodeNotAllowed},
		"longer data":        {"sendTransaction", send(long), market.CodeNotAllowed},
		"an account less":    {"sendTransaction", send(few), market.CodeNotAllowed},
		"system, no move":    {"sendTransaction", send(seal, create), market.CodeNotAllowed},
		"a check of others":  {"sendTransaction", send(check, seal), market.CodeNotAllowed},
		"a transfer alone":   {"sendTransaction", send(transfer), market.CodeNotAllowed},
		"no instruction":     {"sendTransaction", send(), market.CodeNotAllowed},
		"101 accounts":       {"getMultipleAccounts", raws(many, base64Only), market.CodeBadUsage},
		"no accounts":        {"getMultipleAccounts", raws("[]", base64Only), market.CodeBadUsage},
		"a list in a list":   {"getMultipleAccounts", raws("[["+addr+"]]", base64Only), market.CodeBadUsage},
		"jsonParsed":         {"getAccountInfo", raws(addr, `{"encoding":"jsonParsed"}`), market.CodeBadUsage},
		"no encoding":        {"getAccountInfo", raws(addr), market.CodeBadUsage},
		"unknown option":     {"getBlockHeight", raws(`{"evil":1}`), market.CodeBadUsage},
		"absurd commitment":  {"getBlockHeight", raws(`{"commitment":"x"}`), market.CodeBadUsage},
		"too many":           {"getBlockHeight", raws(`{}`, `{}`), market.CodeBadUsage},
		"no address":         {"getAccountInfo", raws(`"x"`, base64Only), market.CodeBadUsage},
		"null":               {"getAccountInfo", raws(`null`, base64Only), market.CodeBadUsage},
		"no signature":       {"getSignatureStatuses", raws(`["0OIl"]`), market.CodeBadUsage},
		"no base64":          {"sendTransaction", raws(`"!"`, base64Only), market.CodeBadUsage},
		"no transaction":     {"sendTransaction", raws(`"AQID"`, base64Only), market.CodeMalformed},
		"too large":          {"sendTransaction", raws(quoted(make([]byte, 1233)), base64Only), market.CodeMalformed},
		"a message too long": {"getFeeForMessage", raws(quoted(make([]byte, 1233))), market.CodeMalformed},
	} {
		if got, err := r.Call(t.Context(), c.method, c.params); market.CodeOf(err) != c.code {
			t.Errorf("%s: %s, %v, want %s", what, got, err, c.code)
		}
	}
	if c := u.calls(); len(c) > 0 {
		t.Errorf("an endpoint was asked: %s", c)
	}
}

// TestRelay_Transactions: bytes behind one, a broken signature, and accounts from lookup tables are refused; v0 without
// tables is not.
func TestRelay_Transactions(t *testing.T) {
	t.Parallel()
	r, _ := newUpstream(t, goodAnswer)
	_, seal, _ := relayIxs()
	signer := testSigner("payer")
	raw, _, err := compile(signer, [32]byte{1}, []instruction{seal})
	if err != nil {
		t.Fatal(err)
	}
	v0 := func(change func(*solanago.Message)) []byte {
		tx, err := solanago.TransactionFromBytes(raw)
		if err != nil {
			t.Fatal(err)
		}
		tx.Message.SetVersion(solanago.MessageVersionV0)
		change(&tx.Message)
		content, err := tx.Message.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		tx.Signatures[0] = solanago.Signature(ed25519.Sign(signer, content))
		b, err := tx.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	broken := slices.Clone(raw)
	broken[5] ^= 1
	for what, c := range map[string]struct {
		raw  []byte
		code market.Code
	}{
		"legacy": {raw, ""}, "v0": {v0(func(*solanago.Message) {}), ""},
		"a byte behind": {append(slices.Clone(raw), 0), market.CodeMalformed},
		"signature":     {broken, market.CodeMalformed},
		"lookup table": {v0(func(m *solanago.Message) {
			m.AddressTableLookups = append(m.AddressTableLookups, solanago.MessageAddressTableLookup{
				AccountKey: solanago.PublicKey{4}, WritableIndexes: []uint8{0}})
		}), market.CodeNotAllowed},
		"no such program": {v0(func(m *solanago.Message) { m.Instructions[0].ProgramIDIndex = 200 }),
			market.CodeMalformed},
		"no such account": {v0(func(m *solanago.Message) { m.Instructions[0].Accounts[0] = 200 }),
			market.CodeMalformed},
		"version 1": {append([]byte{1}, append(make([]byte, 64), 0x81)...), market.CodeMalformed},
	} {
		_, err := r.Call(t.Context(), "sendTransaction", raws(quoted(c.raw), base64Only))
		if market.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %q", what, err, c.code)
		}
	}
}

// TestRelay_EndpointLies: an answer in another form is none, what an endpoint refuses is told, and its key is not.
func TestRelay_EndpointLies(t *testing.T) {
	t.Parallel()
	for what, answer := range map[string]string{
		"html": "<html>" + relayKey, "another id": `{"id":99999,"result":7}`, "no result": `{"id":ID}`,
		"text": `{"id":ID,"result":"` + relayKey + `"}`, "negative": `{"id":ID,"result":-1}`,
		"deep":  `{"id":ID,"result":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`,
		"large": `{"id":ID,"result":[` + strings.Repeat("1,", maxBody/2) + `1]}`, "null": `{"id":ID,"result":null}`,
		"nothing": "",
	} {
		r, _ := newUpstream(t, func(id, _ string) string { return strings.Replace(answer, "ID", id, 1) })
		got, err := r.Call(t.Context(), "getBlockHeight", nil)
		if market.CodeOf(err) != market.CodeChainUnreachable || strings.Contains(err.Error(), "secretkey") {
			t.Errorf("%s: %.100s, %.300v", what, got, err)
		}
		var e *market.Error
		if errors.As(err, &e) && strings.Contains(e.Detail, "127.0.0.1") {
			t.Errorf("%s: names its endpoint: %s", what, e.Detail)
		}
	}
	r, _ := newUpstream(t, func(id, _ string) string {
		return fmt.Sprintf(`{"id":%s,"error":{"code":-32002,"message":"no %s, %s","data":{"err":%q}}}`, id, relayKey,
			strings.Repeat("x", 1000), relayKey)
	})
	_, err := r.Call(t.Context(), "getBlockHeight", nil)
	var refused *Refused
	if !errors.As(err, &refused) || refused.Code != -32002 || len(refused.Message) > maxRefusal ||
		strings.Contains(refused.Message+string(refused.Data), "secretkey") || !json.Valid(refused.Data) {
		t.Errorf("%+v, %v", refused, err)
	}
}

// TestRelay_SlowEndpoint: calls that wait are bounded, and end with their caller.
func TestRelay_SlowEndpoint(t *testing.T) {
	t.Parallel()
	came, ctx := make(chan struct{}, relayAtOnce), t.Context()
	end := make(chan struct{})
	r, _ := newUpstream(t, func(id, method string) string {
		came <- struct{}{}
		<-end
		return goodAnswer(id, method)
	})
	var wg sync.WaitGroup
	for range relayAtOnce {
		wg.Go(func() {
			if _, err := r.Call(ctx, "getBlockHeight", nil); err != nil {
				t.Error(err)
			}
		})
	}
	for range relayAtOnce {
		<-came
	}
	if _, err := r.Call(ctx, "getBlockHeight", nil); market.CodeOf(err) != market.CodeBusy {
		t.Errorf("one more: %v", err)
	}
	close(end)
	wg.Wait()
	if _, err := r.Call(ctx, "getBlockHeight", nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// FuzzWithin: no bytes make the check of a transaction panic, and what passes is small.
func FuzzWithin(f *testing.F) {
	_, seal, _ := relayIxs()
	raw, _, err := compile(testSigner("payer"), [32]byte{1}, []instruction{seal})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := within(raw, relayProgram, false); err == nil && len(raw) > maxTx {
			t.Errorf("%d bytes pass", len(raw))
		}
	})
}
