-- Look: ARGV: how many bytes of the state to return.
local primary = redis.pcall('PERSIST', fence) -- changes nothing, and a replica refuses it
if type(primary) == 'table' and string.find(primary.err, 'READONLY', 1, true) then return primary end
local value = redis.call('GETRANGE', key, 0, tonumber(ARGV[1]) - 1)
return {'OK', string.format('%.0f', now()), exists and '1' or '0', string.format('%.0f', size), value, known and record() or ''}
