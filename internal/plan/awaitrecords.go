package plan

// awaitRecords waits for a person to repair a record: what it said decides who may start and who must not, so a guess could
// found a second cluster or bring a server back that was given up.
func awaitRecords(v view) *Decision {
	if v.Damaged == nil {
		return nil
	}
	return wait(v.heldInterval(), v.Damaged.Reason, "%s", v.Damaged.Message)
}
