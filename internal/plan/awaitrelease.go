package plan

// awaitRelease leaves a cluster as it is while it is held.
func awaitRelease(v view) *Decision {
	if !v.isHeld() {
		return nil
	}
	return v.leaveAlone()
}
