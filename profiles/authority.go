package profiles

// withAuthority adds the domain's certificate authority to its management.
func withAuthority(d *Description) *Description {
	d.Children = append(d.Children, Child{Type: "authority", Name: "domain", Runtime: true, Description: &Description{
		Text: "The certificate authority of the domain. It is changed with :rotate-authority.",
		Runtime: []Attribute{
			{Name: "phase", Type: String, Text: "How far its rotation is: settled, introduced, issuing, cancelling."},
			{Name: "since", Type: String, Text: "When the phase began."},
			{Name: "by", Type: String, Text: "Who began it."},
			{Name: "automatic", Type: Bool, Text: "Whether the leader takes the next step as soon as nobody stands in the way."},
			{Name: "fingerprint", Type: String, Text: "Of the authority that issues."},
			{Name: "valid-until", Type: String, Text: "When that one expires."},
			{Name: "also-trusted", Type: String, Text: "The fingerprint of the other authority, while there are two."},
			{Name: "certificate", Type: String, Text: "The authorities that are trusted, PEM, the issuing one first."},
			{Name: "waits-for", Type: List, Text: "Who stands in the way of the next step, and why; with include-runtime."},
		}}})
	return d
}

func rotateAuthority() OperationDescription {
	return OperationDescription{Name: "rotate-authority", Runtime: true, Reply: Object,
		Text: "Replace the certificate authority of the domain without interruption. " +
			"Phases: introduce (a new authority is made; everybody trusts both, the old one issues), " +
			"issue (the new one issues, and everybody renews now), finish (the old one is trusted no more). " +
			"cancel goes back, until finish. Without a phase the leader does all of it, as soon as nobody stands in the way.",
		Params: []Attribute{
			{Name: "phase", Type: String, Literal: true, Allowed: []string{"introduce", "issue", "finish", "cancel"}, Text: "One step only; all of them, or those that are left, when left out."},
			{Name: "force", Type: Bool, Default: false, Text: "With issue and finish: go on although somebody stands in the way. " +
				"After finish those who were left behind must join again with a new token, and join tokens made before phase issue are void."},
			{Name: "timeout", Type: Int, Default: int64(60), Range: &Range{1, 86400}, Unit: "seconds", Text: "How long to wait for the end, with no phase or cancel. The rotation goes on after it."},
		}}
}
