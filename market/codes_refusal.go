package market

// Codes that the other side of a lease says no with.
const (
	CodePolicy              Code = "policy"
	CodeClockSkew           Code = "clock-skew"
	CodeDoesNotFit          Code = "does-not-fit"
	CodeDraining            Code = "draining"
	CodeUnhealthy           Code = "unhealthy"
	CodeDebtUnpaid          Code = "debt-unpaid"
	CodeQuoteUnknown        Code = "quote-unknown"
	CodeQuoteExpired        Code = "quote-expired"
	CodeDevicesTaken        Code = "devices-taken"
	CodeTooLate             Code = "too-late"
	CodeMalformed           Code = "malformed"
	CodeTooLarge            Code = "too-large"
	CodeBadSignature        Code = "bad-signature"
	CodeSignerNotPeer       Code = "signer-not-peer"
	CodeSpecMismatch        Code = "spec-mismatch"
	CodeUnknownLease        Code = "unknown-lease"
	CodeConflict            Code = "conflict"
	CodePaused              Code = "paused"
	CodeChannelUnknown      Code = "channel-unknown"
	CodeChannelTooSmall     Code = "channel-too-small"
	CodeChannelUnfit        Code = "channel-unfit"
	CodeVoucherUnredeemable Code = "voucher-unredeemable"
	CodeVoucherUnknown      Code = "voucher-unknown"
	CodeVoucherBackwards    Code = "voucher-backwards"
	CodeVoucherAllocation   Code = "voucher-allocation"
	CodeVoucherOverDeposit  Code = "voucher-over-deposit"
	CodeVoucherExpires      Code = "voucher-expires"
	CodeVoucherSignature    Code = "voucher-signature"
	CodeReleaseUnfit        Code = "release-unfit"
	CodeInputsStaged        Code = "inputs-staged"
	CodeNeedsDirect         Code = "needs-direct"
	CodeWantOver            Code = "want-over"
)

var refusalCodes = []Meaning{
	{Code: CodePolicy, Kind: KindDenied,
		Title: "policy",
		Means: "against the rig's rules; the message begins with the rule: `provider.deny_images`, " +
			"`provider.allow_images`, `limits.payer_devices`, `limits.payer_starts` (a new customer: three unpaid " +
			"starts an hour), `limits.prep_time` (preparations that led to no job held devices for 15 minutes " +
			"within an hour), or the order is for another ledger",
		Fix: "change what it names, wait until the time it says, or another provider: `gpuai run --exclude ID`"},
	{Code: CodeClockSkew, Kind: KindInvalid,
		Title: "clock skew",
		Means: "the clocks differ too much",
		Fix:   "set yours by NTP"},
	{Code: CodeDoesNotFit, Kind: KindConflict,
		Title: "does not fit",
		Means: "the rig cannot do what is asked",
		Fix:   "another provider is tried"},
	{Code: CodeDraining, Kind: KindUnavailable,
		Title: "draining",
		Means: "the rig does not sell now",
		Fix:   "another provider is tried"},
	{Code: CodeUnhealthy, Kind: KindUnavailable,
		Title: "unhealthy",
		Means: "the rig or a device must not run jobs now, or the rig has trouble of its own, as a full disk",
		Fix:   "another provider is tried"},
	{Code: CodeDebtUnpaid, Kind: KindDenied,
		Title: "debt unpaid",
		Means: "an old lease with this provider is unpaid",
		Fix:   "pay it, or another provider"},
	{Code: CodeQuoteUnknown, Kind: KindConflict,
		Title: "quote unknown",
		Means: "the quote is not known there",
		Fix:   "it is asked for again"},
	{Code: CodeQuoteExpired, Kind: KindExpired,
		Title: "quote expired",
		Means: "the quote's time is over",
		Fix:   "it is asked for again"},
	{Code: CodeDevicesTaken, Kind: KindUnavailable,
		Title: "devices taken",
		Means: "somebody was faster",
		Fix:   "another provider is tried"},
	{Code: CodeTooLate, Kind: KindExpired,
		Title: "too late",
		Means: "the lease came after its own time limit",
		Fix:   "it is placed again"},
	{Code: CodeMalformed, Kind: KindInvalid,
		Title: "malformed",
		Means: "a document cannot be read",
		Fix:   "versions differ: update"},
	{Code: CodeTooLarge, Kind: KindInvalid, Status: 413, Exit: 2, Whose: "you",
		Title: "what was sent is larger than allowed",
		Means: "a document or upload is larger than allowed",
		Fix:   "send less"},
	{Code: CodeBadSignature, Kind: KindInvalid,
		Title: "bad signature",
		Means: "a signature is wrong",
		Fix:   "report it"},
	{Code: CodeSignerNotPeer, Kind: KindDenied,
		Title: "signer not peer",
		Means: "the document is signed by somebody else than its sender",
		Fix:   "report it"},
	{Code: CodeSpecMismatch, Kind: KindInvalid,
		Title: "the job is wrong: mismatch",
		Means: "order, quote and lease do not belong together",
		Fix:   "report it"},
	{Code: CodeUnknownLease, Kind: KindNotFound,
		Title: "unknown lease",
		Means: "no such lease of this customer",
		Fix:   "`gpuai show`"},
	{Code: CodeConflict, Kind: KindConflict,
		Title: "conflict",
		Means: "not in this state of the lease",
		Fix:   "look again with `gpuai show`"},
	{Code: CodePaused, Kind: KindConflict, Status: 409, Exit: 1, Whose: "none",
		Title: "the job is paused",
		Means: "the job does not run now",
		Fix:   "wait until it does"},
	{Code: CodeChannelUnknown, Kind: KindNotFound,
		Title: "channel unknown",
		Means: "the provider does not see the channel on its ledger yet",
		Fix:   "it is asked again"},
	{Code: CodeChannelTooSmall, Kind: KindConflict,
		Title: "channel too small",
		Means: "the deposit is too small for a lease",
		Fix:   "a larger `--max-total`"},
	{Code: CodeChannelUnfit, Kind: KindConflict,
		Title: "channel unfit",
		Means: "the channel's terms are not the quote's",
		Fix:   "a new channel is opened"},
	{Code: CodeVoucherUnredeemable, Kind: KindInvalid, Status: 402, Exit: 6, Whose: "chain",
		Title: "a voucher would not be redeemed",
		Means: "the ledger would not pay this voucher",
		Fix:   "the provider ends the lease"},
	{Code: CodeVoucherUnknown, Kind: KindNotFound,
		Title: "voucher unknown",
		Means: "the voucher is of no lease or channel that this provider knows",
		Fix:   "`gpuai show`; if it comes again, report it"},
	{Code: CodeVoucherBackwards, Kind: KindConflict,
		Title: "voucher backwards",
		Means: "the voucher says less than one before it",
		Fix:   "nothing: the larger one counts"},
	{Code: CodeVoucherAllocation, Kind: KindInvalid,
		Title: "voucher allocation",
		Means: "the voucher's parts per lease do not add up, or one is above its lease's cap",
		Fix:   "report it"},
	{Code: CodeVoucherOverDeposit, Kind: KindConflict,
		Title: "voucher over deposit",
		Means: "the voucher promises more than the channel holds",
		Fix:   "a larger `--max-total`"},
	{Code: CodeVoucherExpires, Kind: KindConflict,
		Title: "voucher expires",
		Means: "the voucher would expire; only lasting ones are taken",
		Fix:   "versions differ: update"},
	{Code: CodeVoucherSignature, Kind: KindInternal,
		Title: "voucher signature",
		Means: "the voucher's signature is wrong",
		Fix:   "report it"},
	{Code: CodeReleaseUnfit, Kind: KindInvalid,
		Title: "release unfit",
		Means: "a consent to close does not fit the books",
		Fix:   "it is asked for again"},
	{Code: CodeInputsStaged, Kind: KindConflict,
		Title: "inputs staged",
		Means: "the inputs are there already",
		Fix:   "nothing: the sender goes on"},
	{Code: CodeNeedsDirect, Kind: KindConflict, Status: 409, Exit: 5, Whose: "none",
		Title: "only over a relay",
		Means: "the rig is reached over a relay only, which carries files of 3 MiB each way, and the order's are " +
			"larger; " +
			"of outputs: they wait at the rig until the two reach each other",
		Fix: "another rig (the next one is tried), smaller inputs or files that the job fetches by itself; or let " +
			"one of " +
			"the two be reached: forward port 4801, UDP and TCP, in a router"},
	{Code: CodeWantOver, Kind: KindNotFound,
		Title: "want over",
		Means: "a rig's reply came after its customer had found another, or had stopped waiting",
		Fix:   "nothing; a rig replies to the next one"},
}
