package plan

// awaitSecrets says which Secret of a person's cannot be used, when nothing else is left to do. A running cluster has taken
// what it needs of it, and goes on.
func awaitSecrets(v view) *Decision {
	if v.Spec.Unusable == nil {
		return nil
	}
	return wait(steadily, v.Spec.Unusable.Reason, "%s", v.Spec.Unusable.Message)
}
