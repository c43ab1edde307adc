package market

// Codes that job files and their flags are refused with.
const (
	CodeSpecSyntax      Code = "spec-syntax"
	CodeSpecAlias       Code = "spec-alias"
	CodeSpecSize        Code = "spec-size"
	CodeSpecUnknownKey  Code = "spec-unknown-key"
	CodeSpecType        Code = "spec-type"
	CodeSpecUnit        Code = "spec-unit"
	CodeSpecFormat      Code = "spec-format"
	CodeSpecRange       Code = "spec-range"
	CodeSpecRequired    Code = "spec-required"
	CodeSpecPath        Code = "spec-path"
	CodeSpecEnvReserved Code = "spec-env-reserved"
	CodeSpecConflict    Code = "spec-conflict"
	CodeSpecImage       Code = "spec-image"
	CodeSpecRefused     Code = "spec-refused"
)

var jobFileCodes = []Meaning{
	{Code: CodeSpecSyntax, Kind: KindInvalid,
		Title: "the job is wrong: syntax",
		Means: "the file is no YAML or JSON",
		Fix:   "mend the line"},
	{Code: CodeSpecAlias, Kind: KindInvalid,
		Title: "the job is wrong: alias",
		Means: "anchors and aliases are not read",
		Fix:   "write the value itself"},
	{Code: CodeSpecSize, Kind: KindInvalid,
		Title: "the job is wrong: size",
		Means: "the file or job is too large",
		Fix:   "256 KiB for the file, 32 KiB for what travels"},
	{Code: CodeSpecUnknownKey, Kind: KindInvalid,
		Title: "the job is wrong: unknown key",
		Means: "no such key; the nearest is named",
		Fix:   "mend the key"},
	{Code: CodeSpecType, Kind: KindInvalid,
		Title: "the job is wrong: type",
		Means: "a list where a value belongs, or the like",
		Fix:   "mend the value"},
	{Code: CodeSpecUnit, Kind: KindInvalid,
		Title: "the job is wrong: unit",
		Means: "a number without its unit, or with a foreign one",
		Fix:   "write 24GiB, 90s"},
	{Code: CodeSpecFormat, Kind: KindInvalid,
		Title: "the job is wrong: format",
		Means: "the value does not have the form of its key",
		Fix:   "the message shows the form"},
	{Code: CodeSpecRange, Kind: KindInvalid,
		Title: "the job is wrong: range",
		Means: "the value is outside its range",
		Fix:   "the message names the range"},
	{Code: CodeSpecRequired, Kind: KindInvalid,
		Title: "the job is wrong: required",
		Means: "a key is missing",
		Fix:   "add it"},
	{Code: CodeSpecPath, Kind: KindInvalid,
		Title: "the job is wrong: path",
		Means: "a path is not below /workspace, or cannot be read",
		Fix:   "mend the path"},
	{Code: CodeSpecEnvReserved, Kind: KindInvalid,
		Title: "the job is wrong: env reserved",
		Means: "the name of a variable is the sandbox's own",
		Fix:   "use another name"},
	{Code: CodeSpecConflict, Kind: KindInvalid,
		Title: "the job is wrong: conflict",
		Means: "two keys contradict each other",
		Fix:   "keep one"},
	{Code: CodeSpecImage, Kind: KindInvalid,
		Title: "the job is wrong: image",
		Means: "the image's name cannot be read",
		Fix:   "write registry/name:tag"},
	{Code: CodeSpecRefused, Kind: KindInvalid,
		Title: "the job is wrong: refused",
		Means: "the provider does not take this job as signed",
		Fix:   "the message says which part"},
}
