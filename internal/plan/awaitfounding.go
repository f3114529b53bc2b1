package plan

// awaitFounding keeps a new cluster from its clients until the snapshot is restored with which it begins.
func awaitFounding(v view) *Decision {
	if !v.isEmpty() {
		return nil
	}
	return v.awaitData()
}
