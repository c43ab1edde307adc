package market

// Codes that say why a lease is over.
const (
	CodeCompleted      Code = "completed"
	CodeJobFailed      Code = "job-failed"
	CodeJobOOM         Code = "job-oom"
	CodeDiskExceeded   Code = "disk-exceeded"
	CodeStopped        Code = "stopped"
	CodeNeverUsed      Code = "never-used"
	CodeMaxDuration    Code = "max-duration"
	CodeIdleStop       Code = "idle-stop"
	CodeOrderExpired   Code = "order-expired"
	CodeCapReached     Code = "cap-reached"
	CodePaymentOverdue Code = "payment-overdue"
	CodeChannelLow     Code = "channel-low"
	CodeStartCommand   Code = "start-command"
	CodeStartTimeout   Code = "start-timeout"
	CodeStartFailed    Code = "start-failed"
	CodeJobKilled      Code = "job-killed"
	CodeImageStalled   Code = "image-stalled"
	CodeImageTooBig    Code = "image-too-big"
	CodeImageRefused   Code = "image-refused"
	CodeInputStalled   Code = "input-stalled"
	CodeInputHash      Code = "input-hash"
	CodeInputLost      Code = "input-lost"
	CodeInputTooBig    Code = "input-too-big"
	CodeProviderStop   Code = "provider-stop"
	CodeProviderSilent Code = "provider-silent"
	CodeNotAsQuoted    Code = "not-as-quoted"
	CodeOutputLost     Code = "output-lost"
	CodeDiskFull       Code = "disk-full"
	CodeDeviceLost     Code = "device-lost"
	CodeDeviceStuck    Code = "device-stuck"
	CodeGPUMissing     Code = "gpu-missing"
	CodeCDIStale       Code = "cdi-stale"
	CodeSandboxWeak    Code = "sandbox-weak"
	CodeGuardLost      Code = "guard-lost"
	CodeContainerLost  Code = "container-lost"
	CodeRigRestarted   Code = "rig-restarted"
	CodeHandleTooNew   Code = "handle-too-new"
	CodeEquivocation   Code = "equivocation"
	CodeMeterDispute   Code = "meter-dispute"
)

var endCodes = []Meaning{
	{Code: CodeCompleted, Kind: KindConflict, Fault: FaultNone,
		Title: "completed",
		Means: "the job ended with code 0",
		Fix:   "nothing; the outputs are home, or: `gpuai outputs`"},
	{Code: CodeJobFailed, Kind: KindConflict, Fault: FaultCustomer,
		Title: "job failed",
		Means: "the job ended with another code",
		Fix:   "read its words: `gpuai logs`; the exit code is the job's own"},
	{Code: CodeJobOOM, Kind: KindConflict, Fault: FaultCustomer,
		Title: "job oom",
		Means: "the job used more memory than it asked for",
		Fix:   "ask for more: `--memory`"},
	{Code: CodeDiskExceeded, Kind: KindConflict, Fault: FaultCustomer,
		Title: "disk exceeded",
		Means: "the job wrote more than it asked for",
		Fix:   "ask for more: `--disk`"},
	{Code: CodeStopped, Kind: KindConflict, Fault: FaultCustomer,
		Title: "stopped",
		Means: "the customer stopped it",
		Fix:   "nothing"},
	{Code: CodeNeverUsed, Kind: KindConflict, Fault: FaultNone,
		Title: "never used",
		Means: "accepted after the customer had given up",
		Fix:   "nothing; the order was placed elsewhere or given up"},
	{Code: CodeMaxDuration, Kind: KindConflict, Fault: FaultCustomer,
		Title: "max duration",
		Means: "its longest time is over",
		Fix:   "a longer `--max-duration`"},
	{Code: CodeIdleStop, Kind: KindConflict, Fault: FaultCustomer,
		Title: "idle stop",
		Means: "its job was neither heard nor used for its `idle_stop`",
		Fix:   "a longer `--idle-stop`"},
	{Code: CodeOrderExpired, Kind: KindConflict, Fault: FaultCustomer,
		Title: "order expired",
		Means: "the order's `ttl` is over, counted from its placing",
		Fix:   "a longer `--ttl`"},
	{Code: CodeCapReached, Kind: KindConflict, Fault: FaultCustomer, Status: 402, Exit: 6, Whose: "you",
		Title: "the order's cap is used up",
		Means: "its cap is used up",
		Fix:   "a larger `--max-total`"},
	{Code: CodePaymentOverdue, Kind: KindConflict, Fault: FaultCustomer,
		Title: "payment overdue",
		Means: "receipts were not answered for longer than the hold",
		Fix:   "keep the node running and reachable, or sign further ahead: `--away`"},
	{Code: CodeChannelLow, Kind: KindConflict, Fault: FaultCustomer,
		Title: "channel low",
		Means: "the deposit ran out",
		Fix:   "a larger `--max-total`; look at `gpuai wallet show`"},
	{Code: CodeStartCommand, Kind: KindInvalid, Fault: FaultCustomer,
		Title: "start command",
		Means: "the command cannot be started",
		Fix:   "check the command and the image's entry point"},
	{Code: CodeStartTimeout, Kind: KindConflict, Fault: FaultNone,
		Title: "start timeout",
		Means: "it was not ready in time",
		Fix:   "a longer `--start-timeout`, or another provider"},
	{Code: CodeStartFailed, Kind: KindUnavailable, Fault: FaultProvider,
		Title: "start failed",
		Means: "the rig's engine refused to start the container, for no reason of the job's",
		Fix:   "the message has its words; run it again; another provider: `--exclude`"},
	{Code: CodeJobKilled, Kind: KindConflict, Fault: FaultUnknown,
		Title: "job killed",
		Means: "a signal ended the job that neither its customer nor a limit sent: the job's own, the rig's, or of " +
			"whoever is root there",
		Fix: "run it again; another provider: `--exclude`"},
	{Code: CodeImageStalled, Kind: KindConflict, Fault: FaultNone,
		Title: "image stalled",
		Means: "the image came too slowly",
		Fix:   "try again, or another provider: `--exclude`"},
	{Code: CodeImageTooBig, Kind: KindConflict, Fault: FaultCustomer,
		Title: "image too big",
		Means: "the image is larger than the rig takes",
		Fix:   "a smaller image"},
	{Code: CodeImageRefused, Kind: KindInvalid, Fault: FaultCustomer,
		Title: "image refused",
		Means: "the image asks for something that is not run",
		Fix:   "the message says what; use another image"},
	{Code: CodeInputStalled, Kind: KindExpired, Fault: FaultNone,
		Title: "input stalled",
		Means: "the inputs came too slowly",
		Fix:   "try again; `gpuai doctor` tests this side"},
	{Code: CodeInputHash, Kind: KindInvalid, Fault: FaultCustomer,
		Title: "input hash",
		Means: "the inputs are not those that were announced",
		Fix:   "do not change inputs while they are sent"},
	{Code: CodeInputLost, Kind: KindNotFound, Fault: FaultCustomer,
		Title: "input lost",
		Means: "the inputs are not in your node's data folder any more",
		Fix:   "order it again"},
	{Code: CodeInputTooBig, Kind: KindInvalid, Fault: FaultCustomer,
		Title: "input too big",
		Means: "more inputs than announced",
		Fix:   "do not change inputs while they are sent"},
	{Code: CodeProviderStop, Kind: KindConflict, Fault: FaultProvider,
		Title: "provider stop",
		Means: "the provider ended it, by `gpuai` or through its engine",
		Fix:   "run it again; another provider: `--exclude`"},
	{Code: CodeProviderSilent, Kind: KindUnavailable, Fault: FaultProvider, Status: 503, Exit: 8, Whose: "provider",
		Title: "the provider has gone silent",
		Means: "the provider was not heard for too long",
		Fix:   "run it again; another provider: `--exclude`"},
	{Code: CodeNotAsQuoted, Kind: KindConflict, Fault: FaultProvider,
		Title: "not as quoted",
		Means: "other devices than in the quote",
		Fix:   "run it again; another provider: `--exclude`"},
	{Code: CodeOutputLost, Kind: KindNotFound, Fault: FaultProvider,
		Title: "output lost",
		Means: "the outputs cannot be had any more",
		Fix:   "run it again; another provider: `--exclude`"},
	{Code: CodeDiskFull, Kind: KindUnavailable, Fault: FaultProvider, Status: 503, Exit: 1, Whose: "you",
		Title: "the disk is full",
		Means: "too little disk is free for a job",
		Fix:   "on your rig: free some space; else run it again"},
	{Code: CodeDeviceLost, Kind: KindConflict, Fault: FaultProvider,
		Title: "device lost",
		Means: "a GPU failed",
		Fix:   "run it again; another provider: `--exclude`"},
	{Code: CodeDeviceStuck, Kind: KindConflict, Fault: FaultProvider,
		Title: "device stuck",
		Means: "a GPU could not be cleared",
		Fix:   "run it again; the provider resets the GPU or restarts the rig"},
	{Code: CodeGPUMissing, Kind: KindUnavailable, Fault: FaultProvider,
		Title: "gpu missing",
		Means: "a leased GPU is not in the container",
		Fix:   "run it again; the provider runs `gpuai doctor`"},
	{Code: CodeCDIStale, Kind: KindUnavailable, Fault: FaultProvider,
		Title: "cdi stale",
		Means: "the rig's device list is out of date",
		Fix:   "run it again; the provider makes the list of devices anew (nvidia-ctk cdi generate)"},
	{Code: CodeSandboxWeak, Kind: KindUnavailable, Fault: FaultProvider,
		Title: "sandbox weak",
		Means: "the sandbox's own probe failed",
		Fix:   "run it again; the provider runs `gpuai doctor`"},
	{Code: CodeGuardLost, Kind: KindUnavailable, Fault: FaultProvider,
		Title: "guard lost",
		Means: "the packet filter of the job ended",
		Fix:   "run it again; the provider reads its log"},
	{Code: CodeContainerLost, Kind: KindConflict, Fault: FaultProvider,
		Title: "container lost",
		Means: "the container vanished",
		Fix:   "run it again; somebody removed it on the rig"},
	{Code: CodeRigRestarted, Kind: KindConflict, Fault: FaultProvider,
		Title: "rig restarted",
		Means: "the rig restarted",
		Fix:   "run it again; beyond one tick, what was not seen to run is not billed"},
	{Code: CodeHandleTooNew, Kind: KindInvalid, Fault: FaultProvider,
		Title: "handle too new",
		Means: "the rig runs an older version than before",
		Fix:   "run it again; the provider updates gpuai"},
	{Code: CodeEquivocation, Kind: KindConflict, Fault: FaultProvider,
		Title: "equivocation",
		Means: "two receipts contradict each other",
		Fix:   "do not use this provider again: `--exclude`; keep the receipts"},
	{Code: CodeMeterDispute, Kind: KindConflict, Fault: FaultUnknown,
		Title: "meter dispute",
		Means: "the meters differ by more than a tick",
		Fix:   "set both clocks by NTP; if it comes again: `--exclude`"},
}
