package main

// Kind is how a field lies in bytes; numbers are little-endian.
type Kind uint8

// Kinds of fields. Amount is a u64 of base units of the Channel's mint; Seconds a u32; Time an i64 of unix seconds.
const (
	U8 Kind = iota + 1
	U64
	Amount
	Seconds
	Time
	Key
	Pad4  // 4 zero bytes
	Pad32 // 32 zero bytes
	Pad2  // 2 zero bytes
)

// Size is the number of bytes that a field of this kind takes.
func (k Kind) Size() int {
	return map[Kind]int{U8: 1, U64: 8, Amount: 8, Seconds: 4, Time: 8, Key: 32, Pad2: 2, Pad4: 4, Pad32: 32}[k]
}

// Field is one value of an instruction's data, of an account or of an event; Name is snake_case.
type Field struct {
	Name string
	Kind Kind
	Doc  string
}

// Meta is one account of an instruction. Address is its fixed key in base58, or empty.
type Meta struct {
	Name             string
	Signer, Writable bool
	Address          string
}

// Instruction is one call: its data is the tag, then Data without gaps. Event says what its event's two numbers are.
type Instruction struct {
	Tag      byte
	Name     string
	Doc      string
	Data     []Field
	Accounts []Meta
	Event    [2]Field
}

// Account is one kind of account that the program owns. Discriminator is its first bytes; Fields follow without gaps.
type Account struct {
	Name          string
	Doc           string
	Discriminator []byte
	Fields        []Field
}

// Code is one error of the program.
type Code struct {
	Number uint32
	Name   string // kebab-case
	Doc    string
}

// Addresses of Solana's own accounts that instructions name.
const (
	system       = "11111111111111111111111111111111"
	instructions = "Sysvar1nstructions1111111111111111111111111"
)

var (
	channel   = Meta{Name: "channel", Writable: true}
	payer     = Meta{Name: "payer", Signer: true, Writable: true}
	authority = Meta{Name: "authority", Signer: true}
	sysvar    = Meta{Name: "instructions", Address: instructions}
	systemAcc = Meta{Name: "system", Address: system}
)

func to(name string) Meta { return Meta{Name: name, Writable: true} }

func amounts(a, b string) [2]Field {
	return [2]Field{{Name: a, Kind: Amount}, {Name: b, Kind: Amount}}
}

// Instructions of the program, by tag.
var Instructions = []Instruction{
	{1, "open", "Creates and funds a Channel.", []Field{
		{"deposit", Amount, "what the payer locks"},
		{"close_delay", Seconds, "from a request to close to the right to seal"},
		{"salt", U64, "counted up until the address has bump 255"},
		{"cluster_tag", U64, "first 8 bytes of the genesis hash"},
		{"open_slot", U64, "the address may be opened from this slot on, for 3,000 slots"},
		{"voucher_key", Key, "signs Vouchers"},
		{"release_key", Key, "signs Releases; zero: nobody can"},
	}, []Meta{payer, to("payee"), channel, systemAcc}, amounts("deposit", "total")},
	{2, "top_up", "Raises the deposit of an open Channel to a total.", []Field{
		{"total", Amount, "the deposit afterwards, so that a repeat adds nothing"},
	}, []Meta{payer, channel, systemAcc}, amounts("added", "total")},
	{3, "claim", "Settles the Voucher of the instruction before, and pays the payee.", nil,
		[]Meta{channel, sysvar, to("payee_dest")}, amounts("settled", "paid")},
	{4, "record", "Settles the Voucher of the instruction before, without a payout.", nil,
		[]Meta{channel, sysvar}, amounts("settled", "paid")},
	{5, "request_close", "Begins the close delay; for the payer or the voucher key.", nil,
		[]Meta{authority, channel}, [2]Field{{Name: "deadline", Kind: Time}, {Name: "settled", Kind: Amount}}},
	{6, "release", "Seals at the sum of the Release of the instruction before.", nil,
		[]Meta{authority, channel, sysvar}, amounts("settled", "deposit")},
	{7, "seal", "Seals after the close delay; anybody may call it.", nil,
		[]Meta{channel}, amounts("settled", "deposit")},
	{8, "pay_payee", "Pays the payee what is settled and not paid; anybody may call it.", nil,
		[]Meta{channel, to("payee_dest")}, amounts("sent", "paid")},
	{9, "pay_payer", "Pays the payer the rest of a sealed Channel; anybody may call it.", nil,
		[]Meta{channel, to("payer_dest")}, amounts("sent", "refunded")},
	{10, "reclaim", "Removes a sealed, paid Channel; its storage deposit goes to the payer.", nil,
		[]Meta{channel, to("payer")}, [2]Field{{Name: "lamports", Kind: Amount}, {Name: "zero", Kind: U64}}},
	{11, "consent", "Seals at what is settled, by the payee's Release of the instruction before.", nil,
		[]Meta{channel, sysvar}, amounts("settled", "deposit")},
}

// Channel is the account of one Channel, layout version 1: 384 bytes.
var Channel = Account{"channel", "One Channel: who pays whom, what is locked, settled, paid and returned.",
	[]byte{1, 1}, []Field{
		{"status", U8, "0 open, 1 closing, 2 sealed"},
		{"flags", U8, "always 0"},
		{"decimals", U8, "of the mint"},
		{"bump", U8, "always 255"},
		{"pad", Pad2, ""},
		{"deposit", Amount, "all that was ever locked"},
		{"settled", Amount, "what is the payee's"},
		{"paid", Amount, "of it, what the payee has got"},
		{"refunded", Amount, "what the payer has got back"},
		{"deadline", Time, "when it may be sealed; 0 while open"},
		{"open_slot", U64, ""},
		{"salt", U64, ""},
		{"cluster_tag", U64, ""},
		{"close_delay", Seconds, ""},
		{"pad_delay", Pad4, ""},
		{"payer", Key, ""},
		{"payee", Key, ""},
		{"voucher_key", Key, ""},
		{"release_key", Key, ""},
		{"mint", Key, "zero: SOL"},
		{"vault", Key, "zero: the account itself"},
		{"payee_dest", Key, "where the payee's money goes"},
		{"payer_dest", Key, "where the rest goes"},
		{"reserved", Pad32, ""},
		{"opened_at", Time, ""},
		{"voucher_slot", U64, "slot of the last Voucher, if it had an expiry"},
	}}

// EventMagic begins each event: EventMagic, the tag, the Channel's address, the two numbers of the instruction.
const EventMagic = "gpuai/\x01"

// Codes are the program's errors; those below 100 are of the programs that it calls.
var Codes = []Code{
	{100, "bad-signer", "an account that must sign did not, or is not the one that may"},
	{101, "bad-status", "the Channel is not in the status that this needs"},
	{102, "bad-instruction", "unknown tag, or data of another length"},
	{103, "not-writable", "an account that must be writable is not"},
	{104, "bad-owner", "the Channel does not belong to the program"},
	{105, "bad-account", "not a Channel of this layout"},
	{106, "bad-sysvar", "not the instructions sysvar"},
	{107, "bad-mint", "a mint that is not taken"},
	{108, "bad-destination", "money would go to an address that the Channel does not name"},
	{109, "account-count", "too many or too few accounts"},
	{110, "duplicate-account", "one account twice"},
	{111, "bad-program", "another program than the one that is called"},
	{112, "self-pay", "payer and payee are one"},
	{120, "zero-amount", "nothing to lock"},
	{121, "close-delay-range", "the close delay is not between 10 minutes and 7 days"},
	{122, "slot-window", "open_slot lies ahead or too far back"},
	{123, "bad-voucher-key", "the voucher key is no point of the curve"},
	{140, "no-signature", "no signature check right before the instruction"},
	{141, "malformed-signature", "a signature check in another form than the one that is taken"},
	{142, "bad-magic", "the signed bytes are another kind of message"},
	{143, "wrong-channel", "the message is for another Channel"},
	{144, "expired", "the message has expired"},
	{145, "not-monotonic", "not more than what stands already"},
	{146, "over-deposit", "more than the deposit"},
	{147, "wrong-signer", "signed by another key"},
	{148, "over-settled", "more than what is settled"},
	{160, "too-early", "the delay or the window is not over"},
	{162, "legs-open", "a side is not paid yet"},
	{163, "overflow", "a sum that does not fit, or numbers that contradict each other"},
}
