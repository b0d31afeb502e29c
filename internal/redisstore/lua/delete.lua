-- Delete: ARGV: epoch and version as they were when the call began, the epoch
-- above it, the name of the call, then what an inspection found.
if op == ARGV[4] then return {'OK'} end
if exists and version == zero then
  local found = inspected(5)
  if not found then return {'INSPECT'} end
  if found == 'foreign' then return {'FOREIGN'} end
end
if epoch ~= ARGV[1] or version ~= ARGV[2] then return {'CHANGED', epoch, version} end
redis.call('DEL', key) -- first: unlike SET it is not refused when memory is full
for v in string.gmatch(gens, '(%d+),') do redis.call('DEL', generation(v)) end
epoch, op = ARGV[3], ARGV[4]
state, attempt, gens, lives, ones, digest, length, call, expires = 'deleted', '', '', '', '', '', 0, '', '0'
store()
return {'OK'}
