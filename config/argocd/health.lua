-- The health of ConsulClusters, ConsulSnapshots, ConsulSnapshotSchedules and ConsulRestores for Argo CD.
local function condition(type)
  for _, c in ipairs((obj.status or {}).conditions or {}) do
    if c.type == type then return c end
  end
end

local ready, stalled = condition("Ready"), condition("Stalled")
if ready == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "the operator has not looked at it yet"}
end
local message = ready.reason .. ": " .. ready.message
if stalled ~= nil and stalled.status == "True" then
  return {status = "Degraded", message = message}
end
if ready.reason == "Paused" or ready.reason == "Suspended" then
  return {status = "Suspended", message = message}
end
if ready.status == "True" then
  return {status = "Healthy", message = message}
end
return {status = "Progressing", message = message}
