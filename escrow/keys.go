package escrow

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"

	"github.com/gpuai/gpuai/market"
)

// Keys derives every voucher and release key of a node from one 32-byte seed, so a restart needs no key store. A lost
// seed costs no money: the wallet closes its Channels, the payee is paid by what is recorded. Zero Keys are invalid.
type Keys struct{ seed [32]byte }

// NewKeys wraps the node's voucher seed; make it with crypto/rand and keep it 0600.
func NewKeys(seed [32]byte) Keys { return Keys{seed: seed} }

// String hides the seed from logs and errors.
func (Keys) String() string { return "escrow.Keys" }

// LogValue hides the seed from slog.
func (Keys) LogValue() slog.Value { return slog.StringValue("escrow.Keys") }

func (k Keys) derive(info []byte) (ed25519.PrivateKey, error) {
	seed, err := hkdf.Key(sha256.New, k.seed[:], nil, string(info), ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("deriving a key: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// Voucher returns the customer's n-th voucher key for one payee and mint: HKDF(seed, "gpuai/voucher/1" ‖ cluster_tag ‖
// payer ‖ payee ‖ mint ‖ n), integers little-endian.
func (k Keys) Voucher(clusterTag uint64, payer, payee, mint market.Address, n uint32) (ed25519.PrivateKey, error) {
	info := binary.LittleEndian.AppendUint64([]byte("gpuai/voucher/1"), clusterTag)
	for _, a := range []market.Address{payer, payee, mint} {
		info = append(info, a[:]...)
	}
	return k.derive(binary.LittleEndian.AppendUint32(info, n))
}

// Release returns the provider's release key for one customer, payout and mint, known before any Channel exists:
// HKDF(seed, "gpuai/release/1" ‖ cluster_tag ‖ customer's raw node key ‖ payee ‖ mint).
func (k Keys) Release(clusterTag uint64, customer market.NodeID, payee, mint market.Address) (ed25519.PrivateKey,
	error) {
	info := binary.LittleEndian.AppendUint64([]byte("gpuai/release/1"), clusterTag)
	info = append(append(append(info, customer[:]...), payee[:]...), mint[:]...)
	return k.derive(info)
}

// PublicKey returns the 32 public bytes of a derived key.
func PublicKey(key ed25519.PrivateKey) [32]byte { return [32]byte(key.Public().(ed25519.PublicKey)) }
