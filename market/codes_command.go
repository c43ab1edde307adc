package market

// Codes that commands, the API, settings and logs say.
const (
	CodeBadUsage            Code = "bad-usage"
	CodeConfigInvalid       Code = "config-invalid"
	CodeUnknownNetwork      Code = "unknown-network"
	CodeNetworkOff          Code = "network-off"
	CodeWrongLedger         Code = "wrong-ledger"
	CodeChainDisagrees      Code = "chain-disagrees"
	CodeChainUnreachable    Code = "chain-unreachable"
	CodeOutputMissing       Code = "output-missing"
	CodeOutputLeftOut       Code = "output-left-out"
	CodeInputLeftOut        Code = "input-left-out"
	CodeOutputsDropped      Code = "outputs-dropped"
	CodeNotFound            Code = "not-found"
	CodeNotAllowed          Code = "not-allowed"
	CodeNotConfirmed        Code = "not-confirmed"
	CodeRoleOff             Code = "role-off"
	CodeNodeUnreachable     Code = "node-unreachable"
	CodeNodeRunning         Code = "node-running"
	CodeStoreDead           Code = "store-dead"
	CodeTimeout             Code = "timeout"
	CodeInterrupted         Code = "interrupted"
	CodeInternal            Code = "internal"
	CodeKeyReused           Code = "key-reused"
	CodeBusy                Code = "busy"
	CodeNeedsSystemd        Code = "needs-systemd"
	CodeInstallFailed       Code = "install-failed"
	CodeNeedsCheckout       Code = "needs-checkout"
	CodeNeedsBuild          Code = "needs-build"
	CodeSandboxMissing      Code = "sandbox-missing"
	CodeDataDirOpen         Code = "data-dir-open"
	CodeDataDirRemote       Code = "data-dir-remote"
	CodeDataDirUnusable     Code = "data-dir-unusable"
	CodeStoreDamaged        Code = "store-damaged"
	CodeIndexUnusable       Code = "index-unusable"
	CodeVersionMismatch     Code = "version-mismatch"
	CodeKeypairInvalid      Code = "keypair-invalid"
	CodeBadConfig           Code = "bad-config"
	CodeP2PStart            Code = "p2p-start"
	CodePeerUnreachable     Code = "peer-unreachable"
	CodePeerFailed          Code = "peer-failed"
	CodeNotReady            Code = "not-ready"
	CodeJobEnded            Code = "job-ended"
	CodeConnectionCut       Code = "connection-cut"
	CodeFileError           Code = "file-error"
	CodeTransactionFailed   Code = "transaction-failed"
	CodeOfferInvalid        Code = "offer-invalid"
	CodeRateLimited         Code = "rate-limited"
	CodeNoCredentials       Code = "no-credentials"
	CodeWrongHost           Code = "wrong-host"
	CodeCrossSite           Code = "cross-site"
	CodeFundsShort          Code = "funds-short"
	CodeCapTooSmall         Code = "cap-too-small"
	CodeSpendCap            Code = "spend-cap"
	CodeAirdropRefused      Code = "airdrop-refused"
	CodeTransactionPending  Code = "transaction-pending"
	CodeNoOfferFits         Code = "no-offer-fits"
	CodeNoRigCame           Code = "no-rig-came"
	CodeQuoteRefused        Code = "quote-refused"
	CodeImageNotFound       Code = "image-not-found"
	CodeImageDenied         Code = "image-denied"
	CodeRegistryUnreachable Code = "registry-unreachable"
	CodeLeaseLive           Code = "lease-live"
	CodeChannelClosing      Code = "channel-closing"
	CodeOutputTooBig        Code = "output-too-big"
	CodeEffectStuck         Code = "effect-stuck"
	CodeContainerUnknown    Code = "container-unknown"
	CodeGuardFails          Code = "guard-fails"
)

var commandCodes = []Meaning{
	{Code: CodeBadUsage, Kind: KindInvalid, Status: 400, Exit: 2, Whose: "you",
		Title: "the command or request is wrong",
		Means: "the command line or request is wrong",
		Fix:   "the message says which part; `gpuai COMMAND --help`"},
	{Code: CodeConfigInvalid, Kind: KindInvalid, Status: 422, Exit: 2, Whose: "you",
		Title: "the configuration is wrong",
		Means: "a setting is unknown or wrong; place and nearest key are named",
		Fix:   "`gpuai config check`"},
	{Code: CodeUnknownNetwork, Kind: KindInvalid, Status: 422, Exit: 2, Whose: "you",
		Title: "no such network",
		Means: "no such network",
		Fix:   "`node.network` is localnet, localnet-NAME or devnet"},
	{Code: CodeNetworkOff, Kind: KindDenied, Status: 403, Exit: 4, Whose: "you",
		Title: "this network is off",
		Means: "nobody can trade on this network yet: the escrow program is not deployed on devnet, and mainnet is " +
			"off until it is audited",
		Fix: "`gpuai localnet` in one terminal, `gpuai config set node.network=localnet` in the other"},
	{Code: CodeWrongLedger, Kind: KindInvalid, Status: 409, Exit: 1, Whose: "you",
		Title: "the ledger belongs to another network",
		Means: "the endpoint serves another ledger than the network's",
		Fix:   "`gpuai config set solana.rpc=URL`"},
	{Code: CodeChainDisagrees, Kind: KindConflict,
		Title: "chain disagrees",
		Means: "the endpoint changed to another ledger while the node ran",
		Fix:   "check `solana.rpc`"},
	{Code: CodeChainUnreachable, Kind: KindUnavailable, Status: 503, Exit: 8, Whose: "chain",
		Title: "the ledger does not answer",
		Means: "no endpoint of the ledger answers",
		Fix:   "`gpuai config set solana.rpc=URL`"},
	{Code: CodeOutputMissing, Kind: KindConflict, Status: 409, Exit: 1, Whose: "you",
		Title: "a declared output is missing",
		Means: "a declared output does not exist: the job has not made it",
		Fix:   "`gpuai logs ID`; `--allow-missing-outputs` where it may be missing"},
	{Code: CodeOutputLeftOut, Kind: KindConflict, Status: 409, Exit: 1, Whose: "you",
		Title: "some outputs were left out",
		Means: "something in the outputs cannot travel: a pipe, a device, a link that leaves what is brought; each " +
			"is named",
		Fix: "keep such things outside of outputs; `--allow-missing-outputs` takes it as it is"},
	{Code: CodeInputLeftOut, Kind: KindConflict, Status: 409, Exit: 1, Whose: "you",
		Title: "some inputs were left out",
		Means: "the same in the inputs, named before anything costs; the job ran without it",
		Fix:   "`exclude` in the job file; `--allow-missing-outputs` takes it as it is"},
	{Code: CodeOutputsDropped, Kind: KindExpired, Status: 410, Exit: 1, Whose: "node",
		Title: "the outputs are gone",
		Means: "the data folder was above `customer.spool_max` and gave up outputs that nobody had fetched",
		Fix:   "`gpuai config set customer.spool_max=…`; fetch sooner: `gpuai outputs ID`"},
	{Code: CodeNotFound, Kind: KindNotFound, Status: 404, Exit: 3, Whose: "you",
		Title: "there is no such thing",
		Means: "no such order, channel, setting or output",
		Fix:   "`gpuai ps -a`, `gpuai channel list`"},
	{Code: CodeNotAllowed, Kind: KindDenied, Status: 403, Exit: 4, Whose: "you",
		Title: "this is not allowed",
		Means: "not on this network, or a transaction that is not of the escrow was sent to an indexer's relay",
		Fix:   "free money exists on localnet and devnet only; other transactions go through an endpoint of your own"},
	{Code: CodeNotConfirmed, Kind: KindConflict, Status: 409, Exit: 1, Whose: "you",
		Title: "not confirmed",
		Means: "you answered no, nothing was done",
		Fix:   "`--yes` answers yes"},
	{Code: CodeRoleOff, Kind: KindConflict, Status: 409, Exit: 1, Whose: "you",
		Title: "the node does not have this role",
		Means: "the node does not have this role",
		Fix:   "`gpuai config set node.roles=customer,provider`"},
	{Code: CodeNodeUnreachable, Kind: KindUnavailable, Status: 503, Exit: 8, Whose: "node",
		Title: "no node answers",
		Means: "no node answers at the socket",
		Fix:   "`gpuai node start`; its words are in node.log"},
	{Code: CodeNodeRunning, Kind: KindConflict, Status: 409, Exit: 1, Whose: "you",
		Title: "a node is running already",
		Means: "the data folder or socket belongs to a running node",
		Fix:   "`gpuai node stop`"},
	{Code: CodeStoreDead, Kind: KindInternal, Status: 503, Exit: 1, Whose: "node",
		Title: "the node's state cannot be written",
		Means: "a write to the state file failed, so nothing more is acknowledged; the disk has the truth",
		Fix:   "check the disk, then `gpuai node start`"},
	{Code: CodeTimeout, Kind: KindUnavailable, Status: 504, Exit: 7, Whose: "network",
		Title: "it took too long",
		Means: "it took too long; it may still happen",
		Fix:   "look again with the command named"},
	{Code: CodeInterrupted, Kind: KindConflict, Status: 499, Exit: 130, Whose: "you",
		Title: "interrupted",
		Means: "you stopped the command",
		Fix:   "run it again; what the node had begun goes on: `gpuai ps`"},
	{Code: CodeInternal, Kind: KindInternal, Fault: FaultUnknown, Status: 500, Exit: 1, Whose: "node",
		Title: "an internal error",
		Means: "a fault of ours",
		Fix:   "the node's log names it; please report it"},
	{Code: CodeKeyReused, Kind: KindConflict, Status: 409, Exit: 1, Whose: "you",
		Title: "this idempotency key belongs to another request",
		Means: "an `Idempotency-Key` came with another request before",
		Fix:   "use a new key for a new request"},
	{Code: CodeBusy, Kind: KindUnavailable,
		Title: "busy",
		Means: "all rigs that fit are rented and none came free within 5 minutes, too much waits already, or a new " +
			"customer's first tick is not paid yet and it asks for a second job",
		Fix: "try again when it says; `gpuai run` waits some minutes itself"},
	{Code: CodeNeedsSystemd, Kind: KindConflict, Status: 409, Exit: 1, Whose: "you",
		Title: "this needs systemd",
		Means: "this machine is not run by systemd, so no service can be installed",
		Fix:   "start the node by what starts your services; the message has the line"},
	{Code: CodeInstallFailed, Kind: KindConflict, Status: 409, Exit: 1, Whose: "you",
		Title: "the installation did not end",
		Means: "a command of `gpuai node install` failed; its own words are in the message",
		Fix:   "mend what it names, then run it again: it goes on"},
	{Code: CodeNeedsCheckout, Kind: KindUnavailable, Status: 409, Exit: 1, Whose: "you",
		Title: "this needs a checkout of the source",
		Means: "the local ledger runs from a checkout, under Node.js",
		Fix:   "clone the repository, `.ci/setup`"},
	{Code: CodeNeedsBuild, Kind: KindUnavailable, Status: 409, Exit: 1, Whose: "you",
		Title: "this binary lacks a part",
		Means: "the binary lacks the sample job",
		Fix:   "`make build`"},
	{Code: CodeSandboxMissing, Kind: KindUnavailable,
		Title: "sandbox missing",
		Means: "the binary lacks the sandbox helper",
		Fix:   "`make build`"},
	{Code: CodeDataDirOpen, Kind: KindDenied, Status: 403, Exit: 4, Whose: "you",
		Title: "the data folder is open to others",
		Means: "others can read the data folder, which holds keys",
		Fix:   "chmod 700 the folder"},
	{Code: CodeDataDirRemote, Kind: KindConflict,
		Title: "data dir remote",
		Means: "the data folder is on a network or shared file system, which loses locks and writes",
		Fix:   "set `node.data_dir` to a local disk"},
	{Code: CodeDataDirUnusable, Kind: KindDenied, Status: 403, Exit: 4, Whose: "you",
		Title: "the data folder cannot be used",
		Means: "the data folder cannot be made or written",
		Fix:   "set `node.data_dir` to a folder of yours"},
	{Code: CodeStoreDamaged, Kind: KindInternal,
		Title: "store damaged",
		Means: "the store's file is damaged",
		Fix:   "restore a copy; see docs/flows/crash.md"},
	{Code: CodeIndexUnusable, Kind: KindUnavailable, Status: 503, Exit: 1, Whose: "node",
		Title: "the index cannot be used",
		Means: "an indexer's database does not open, or does not answer",
		Fix:   "check `indexer.store`; an index that is deleted is built anew"},
	{Code: CodeVersionMismatch, Kind: KindConflict, Status: 426, Exit: 10, Whose: "you",
		Title: "versions do not fit together",
		Means: "the store was written by a newer version",
		Fix:   "update gpuai"},
	{Code: CodeKeypairInvalid, Kind: KindInvalid, Status: 422, Exit: 2, Whose: "you",
		Title: "a key file is wrong",
		Means: "a keypair file is not one, or others can read it",
		Fix:   "the message says why"},
	{Code: CodeBadConfig, Kind: KindInvalid,
		Title: "bad config",
		Means: "the network part was given a wrong key or address",
		Fix:   "check `p2p.bootstrap`"},
	{Code: CodeP2PStart, Kind: KindUnavailable,
		Title: "p2p start",
		Means: "the port is taken, or addresses are wrong",
		Fix:   "check `p2p.listen`"},
	{Code: CodePeerUnreachable, Kind: KindUnavailable, Status: 503, Exit: 8, Whose: "provider",
		Title: "the other node does not answer",
		Means: "a node does not answer on any of its addresses; of a running job's provider: the job may run on " +
			"there, nothing more is paid meanwhile, and it is asked again by itself",
		Fix: "wait, `gpuai stop ID`, or another provider"},
	{Code: CodePeerFailed, Kind: KindUnavailable, Status: 503, Exit: 8, Whose: "provider",
		Title: "the other node failed",
		Means: "the other node answered that something failed there, without saying what",
		Fix:   "try again; if it comes again, another provider: `--exclude`"},
	{Code: CodeNotReady, Kind: KindConflict, Status: 409, Exit: 1, Whose: "none",
		Title: "the job does not run yet",
		Means: "the job does not run yet",
		Fix:   "`gpuai show ID` says what it waits for"},
	{Code: CodeJobEnded, Kind: KindConflict, Status: 409, Exit: 1, Whose: "none",
		Title: "the job has ended",
		Means: "the job has ended, so nothing can run beside it",
		Fix:   "`gpuai show ID`, `gpuai logs ID`"},
	{Code: CodeConnectionCut, Kind: KindUnavailable, Status: 503, Exit: 8, Whose: "network",
		Title: "the connection was cut",
		Means: "a connection ended in the middle of an answer",
		Fix:   "try again; `gpuai status` says whether the node runs"},
	{Code: CodeFileError, Kind: KindConflict, Status: 409, Exit: 1, Whose: "you",
		Title: "a file cannot be read or written",
		Means: "a file or folder of this machine cannot be read or written; the message names it",
		Fix:   "check the path, its rights and the free space"},
	{Code: CodeTransactionFailed, Kind: KindConflict, Status: 409, Exit: 1, Whose: "chain",
		Title: "the ledger refused a transaction",
		Means: "the ledger refused a transaction; nothing moved but its fee",
		Fix:   "`gpuai channel list`; if it comes again, report it"},
	{Code: CodeOfferInvalid, Kind: KindInvalid,
		Title: "offer invalid",
		Means: "the own offer breaks a rule of the network",
		Fix:   "check the `provider` settings"},
	{Code: CodeRateLimited, Kind: KindUnavailable, Status: 429, Exit: 8, Whose: "network",
		Title: "rate limited",
		Means: "the node, or another one, answers so many requests only",
		Fix:   "it is tried again"},
	{Code: CodeNoCredentials, Kind: KindDenied, Status: 401, Exit: 4, Whose: "you",
		Title: "the node does not know who asks",
		Means: "a call to `api.listen` without the node's token, or with another one",
		Fix:   "a call by `--api` reads the file of `api.token_file`; it must be the node's"},
	{Code: CodeWrongHost, Kind: KindDenied, Status: 421, Exit: 4, Whose: "you",
		Title: "this host is another",
		Means: "a call to `api.listen` by a name that the node does not have there, as a web page makes it that was " +
			"pointed at this machine",
		Fix: "call `http://127.0.0.1:PORT`"},
	{Code: CodeCrossSite, Kind: KindDenied, Status: 403, Exit: 4, Whose: "you",
		Title: "a page of another site sent this",
		Means: "a web page called the node through your browser, and was refused",
		Fix:   "close the page; `gpuai` is not affected"},
	{Code: CodeFundsShort, Kind: KindConflict, Status: 402, Exit: 6, Whose: "you",
		Title: "the spending account has too little",
		Means: "the spending account has too little, fees and the storage deposit included",
		Fix:   "`gpuai wallet show`"},
	{Code: CodeCapTooSmall, Kind: KindConflict, Status: 402, Exit: 6, Whose: "you",
		Title: "the cap pays for no work",
		Means: "the order's cap pays for less than a tick of work, or its grace takes all of it",
		Fix:   "a larger `--max-total`"},
	{Code: CodeSpendCap, Kind: KindDenied, Status: 402, Exit: 6, Whose: "you",
		Title: "a spending cap is reached",
		Means: "the cap per day or per order is reached",
		Fix:   "`wallet.max_per_day`, `--max-total`"},
	{Code: CodeAirdropRefused, Kind: KindUnavailable, Status: 503, Exit: 1, Whose: "chain",
		Title: "the faucet gave nothing",
		Means: "the faucet gave nothing",
		Fix:   "a smaller amount, or later"},
	{Code: CodeTransactionPending, Kind: KindUnavailable, Status: 409, Exit: 1, Whose: "chain",
		Title: "a transaction is still on its way",
		Means: "sent, its fate is not known yet",
		Fix:   "do not repeat it; `gpuai channel list`"},
	{Code: CodeNoOfferFits, Kind: KindConflict, Status: 409, Exit: 5, Whose: "none",
		Title: "no offer fits",
		Means: "no rig fits; the reasons are counted and changes proposed",
		Fix:   "take one of the proposed changes"},
	{Code: CodeNoRigCame, Kind: KindConflict, Status: 409, Exit: 5, Whose: "none",
		Title: "no rig came while the order waited",
		Means: "the time of `--wait` is over, and no rig that fits gave a quote; the message has the last reason",
		Fix:   "wait longer, or ask for less: `gpuai offers --explain`"},
	{Code: CodeQuoteRefused, Kind: KindDenied, Status: 409, Exit: 5, Whose: "provider",
		Title: "no provider gave a quote that can be used",
		Means: "rigs fit, but none gave a usable quote; each reason is named",
		Fix:   "`gpuai offers`, or try again"},
	{Code: CodeImageNotFound, Kind: KindNotFound, Fault: FaultCustomer, Status: 404, Exit: 3, Whose: "you",
		Title: "there is no such image",
		Means: "no such image or tag",
		Fix:   "check the name"},
	{Code: CodeImageDenied, Kind: KindDenied, Status: 403, Exit: 4, Whose: "you",
		Title: "the registry wants a login for this image",
		Means: "the registry wants a login for this image, or hides that it is not there; private images are not " +
			"there yet, no login is ever sent",
		Fix: "check the name; use an image that anybody can pull, and bring data and code by `--in`"},
	{Code: CodeRegistryUnreachable, Kind: KindUnavailable, Fault: FaultNone,
		Title: "registry unreachable",
		Means: "the registry does not answer, fails, or asks to be left alone; as the end of a lease: it did so to " +
			"the rig, several times",
		Fix: "try again later; the message has its words"},
	{Code: CodeLeaseLive, Kind: KindConflict, Status: 409, Exit: 1, Whose: "none",
		Title: "a job still needs it",
		Means: "a job is paid from this channel",
		Fix:   "`gpuai stop` it first"},
	{Code: CodeChannelClosing, Kind: KindConflict, Fault: FaultCustomer, Status: 409, Exit: 1, Whose: "none",
		Title: "the channel is closing",
		Means: "the close is asked for; the rest returns after the close delay",
		Fix:   "`gpuai channel list` says when"},
	{Code: CodeOutputTooBig, Kind: KindConflict,
		Title: "output too big",
		Means: "the outputs are larger than twice the order's disk",
		Fix:   "write less below the output paths, or a larger `--disk`"},
	{Code: CodeEffectStuck, Kind: KindUnavailable,
		Title: "effect stuck",
		Means: "a step of a lease has failed ten times and is tried on",
		Fix:   "the log has its reason beside it: mend that"},
	{Code: CodeContainerUnknown, Kind: KindConflict,
		Title: "container unknown",
		Means: "a container of the sandbox belongs to no lease of this node; it is paused, not removed",
		Fix:   "look at it by `docker inspect`, then remove it"},
	{Code: CodeGuardFails, Kind: KindUnavailable,
		Title: "guard fails",
		Means: "the packet filter of jobs cannot be set up on this machine: jobs get no network",
		Fix:   "`gpuai doctor --only engine`; the log says what the kernel lacks"},
}
