-- Lease: KEYS[1] the record. ARGV: the record as it was read ('' for none) and
-- the one to put in its place, both '' to read only.
local function now()
  local t = redis.call('TIME')
  return string.format('%.0f', tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000))
end
if ARGV[2] == '' then
  local primary = redis.pcall('PERSIST', KEYS[1]) -- changes nothing, and a replica refuses it
  if type(primary) == 'table' and string.find(primary.err, 'READONLY', 1, true) then return primary end
end
local long = redis.pcall('STRLEN', KEYS[1])
if type(long) == 'number' and long > 65536 then return {'DAMAGED', KEYS[1]} end -- no lease is
local stored = redis.pcall('GET', KEYS[1])
if type(stored) == 'table' then
  if string.find(stored.err, 'WRONGTYPE', 1, true) then return {'WRONGTYPE', KEYS[1]} end
  return stored
end
stored = stored or ''
if ARGV[2] == '' then return {'OK', stored, now()} end
if stored ~= ARGV[2] then
  if stored ~= ARGV[1] then return {'CHANGED', stored, now()} end
  redis.call('SET', KEYS[1], ARGV[2])
end
return {'OK', stored, now()}
