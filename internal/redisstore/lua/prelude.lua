-- Every script about one component begins with this.
-- KEYS[1] the state, KEYS[2] the fence, both in one cluster slot with all keys
-- derived from them. Numbers of 20 digits stay strings: a Lua number is a double.
local key, fence = KEYS[1], KEYS[2]
local side = string.sub(fence, 1, -2)
local zero = '00000000000000000000'
local hashed = 65536

local function less(a, b)
  local x, y = tonumber(string.sub(a, 1, 10)), tonumber(string.sub(b, 1, 10))
  if x ~= y then return x < y end
  return tonumber(string.sub(a, 11)) < tonumber(string.sub(b, 11))
end

local function refused(reply, k)
  if string.find(reply.err, 'WRONGTYPE', 1, true) then return {'WRONGTYPE', k} end
  return reply
end

local epoch, version, attempt, state, expires, gens = zero, zero, '', 'none', '0', ''
local length, quarantined, call, op = 0, 0, '', ''
-- Until when the older generations live at least, how many bits of the state are
-- set, or else a digest of it: none of them is always known.
local lives, ones, digest = '', '', ''
local long = redis.pcall('STRLEN', fence)
if type(long) == 'number' and long > 65536 then return {'DAMAGED', fence} end -- no fence is
local line = redis.pcall('GET', fence)
local known = line and true
if type(line) == 'table' then
  -- Format 1 was a hash. The next write puts a line in its place.
  if not string.find(line.err, 'WRONGTYPE', 1, true) then return line end
  local r = redis.pcall('HMGET', fence, 'format', 'epoch', 'version', 'attempt', 'state', 'expires',
    'generations', 'length', 'quarantined', 'call', 'op', 'sha1')
  if r.err then return refused(r, fence) end
  if r[1] and r[1] ~= '1' then return {'FORMAT', r[1]} end
  for i = 1, 12 do
    if not r[i] then return {'DAMAGED', fence} end
  end
  epoch, version, attempt, state, expires, gens = r[2], r[3], r[4], r[5], r[6], r[7]
  length, quarantined, call, op, digest = tonumber(r[8]), tonumber(r[9]), r[10], r[11], r[12]
elseif known then
  -- A line, as batch.lua writes it and record.go reads it.
  local format, body = string.match(line, '^FENCE (%d+) (.*)$')
  if format and format ~= '2' then return {'FORMAT', format} end
  local letter, len, quar
  if format then
    epoch, version, letter, len, expires, quar, digest, call, op, attempt, gens =
      string.match(body, '^(%d+) (%d+) ([sdn]) (%d+) (%d+) (%d+) ([%x-]+) ([%w-]+) ([%w-]+) ([^|]*)|([^|]*)$')
  end
  if not letter then return {'DAMAGED', fence} end
  state = letter == 's' and 'saved' or letter == 'd' and 'deleted' or 'none'
  length, quarantined = tonumber(len), tonumber(quar)
  lives, ones = string.match(digest, '^(%d*)-(%d*)')
  digest, call, op = lives and '' or digest, string.gsub(call, '-', ''), string.gsub(op, '-', '')
  lives, ones = lives or '', ones or ''
end
if not string.find(epoch .. version, '^%d+$') or #epoch ~= 20 or #version ~= 20 then return {'DAMAGED', fence} end

if quarantined > 9999990000 then return {'DAMAGED', fence} end -- nobody counts that far

local size = redis.pcall('STRLEN', key)
if type(size) == 'table' then return refused(size, key) end
local exists = size > 0 or redis.call('EXISTS', key) == 1

local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

local function head(a)
  local e, v, w = string.match(a, '^(%d+) (%d+) (%w+)$')
  if not e then return '' end
  return 'DURABLE 01 ' .. e .. ' ' .. v .. ' ' .. w .. string.rep('-', 32 - #w) .. ' '
end

-- sound tells whether the stored state is what its save left there: its length, its
-- header up to the write id and, up to 64 KiB, how many bits are set. Whether its
-- bytes verify is for who reads them.
local function sound()
  if not exists or size ~= length then return false end
  local h = head(attempt)
  if h ~= '' and redis.call('GETRANGE', key, 0, #h - 1) ~= h then return false end
  if size > hashed then return true end
  if digest ~= '' then return redis.sha1hex(redis.call('GET', key)) == digest end
  return ones == '' or redis.call('BITCOUNT', key) == tonumber(ones)
end

-- quarantine sets the bytes at k aside, until a person removes them. Damage that comes
-- again and again is kept once.
local function quarantine(k)
  local n = redis.call('STRLEN', k)
  for i = quarantined, math.max(1, quarantined - 999), -1 do
    local kept = side .. 'x:' .. i
    if redis.pcall('STRLEN', kept) == n and redis.call('GET', kept) == redis.call('GET', k) then
      redis.call('DEL', k)
      return
    end
  end
  repeat quarantined = quarantined + 1 until redis.call('EXISTS', side .. 'x:' .. quarantined) == 0
  redis.call('RENAME', k, side .. 'x:' .. quarantined)
  redis.call('PERSIST', side .. 'x:' .. quarantined)
end

local function generation(v)
  return side .. 'g:' .. string.match(v, '^0*(%d+)$')
end

local function pad(s, n)
  return s .. string.rep('-', n - #s)
end

local function record()
  local sums = lives ~= '' and lives .. '-' .. ones or digest
  local letter = state == 'saved' and 's' or state == 'deleted' and 'd' or 'n'
  return 'FENCE 2 ' .. epoch .. ' ' .. version .. ' ' .. letter .. ' ' .. string.format('%010.0f', length) .. ' ' ..
    string.format('%013.0f', tonumber(expires)) .. ' ' .. string.format('%010.0f', quarantined) .. ' ' ..
    pad(sums, 40) .. ' ' .. pad(call, 12) .. ' ' .. pad(op, 12) .. ' ' .. attempt .. '|' .. gens
end

local function store()
  redis.call('SET', fence, record())
end

-- inspected applies what the client found at the state key of a component that
-- was never saved: kind, length, sha1, epoch, version, write id. It returns nil
-- when the client must look (again).
local function inspected(i)
  local kind = ARGV[i]
  if kind == '' or tonumber(ARGV[i + 1]) ~= size then return nil end
  if size <= hashed and redis.sha1hex(redis.call('GET', key)) ~= ARGV[i + 2] then return nil end
  if kind == 'foreign' or kind == 'damaged' then return kind end
  length, ones, digest = size, '', ''
  if kind == 'plain' then return kind end
  version, attempt, state = ARGV[i + 4], ARGV[i + 3] .. ' ' .. ARGV[i + 4] .. ' ' .. ARGV[i + 5], 'saved'
  if less(epoch, ARGV[i + 3]) then epoch = ARGV[i + 3] end
  local left = redis.call('PTTL', key)
  expires = left > 0 and string.format('%.0f', now() + left) or '0'
  return kind
end
