-- Claims: raises the epochs of any number of fences, each on its own and in place.
-- KEYS: the fences, then the states. ARGV: the epoch, and the length up to which a
-- state is small. The answer has one letter for each: 'y' when its epoch is that one
-- now and its state is small and as long as its fence says, 'l' when it is claimed
-- all the same, 'n' when it was left as it is, because its epoch is above it, knows
-- of no save, cannot be read, or may not be written.
local KEYS, epoch, most, try, type, tonumber = KEYS, ARGV[1], tonumber(ARGV[2]), redis.pcall, type, tonumber
local find, sub = string.find, string.sub
local mine, zero = tonumber(epoch), '00000000000000000000'
local n = #KEYS / 2

local function claim(fence, state)
  local head = try('GETRANGE', fence, '0', '62') -- numbers among arguments are slow
  if type(head) ~= 'string' then return 'n' end
  local _, fields = find(head, '^FENCE 2 %d+ %d+ s %d+ ')
  if fields ~= 63 or sub(head, 30, 49) == zero or try('STRLEN', fence) > 65536 then return 'n' end
  local before = sub(head, 9, 28)
  if before ~= epoch then
    local theirs = tonumber(before)
    if not (theirs and mine and theirs < mine) then return 'n' end -- rounded, but in order
    if type(try('SETRANGE', fence, '8', epoch)) ~= 'number' then return 'n' end
  end
  local length = tonumber(sub(head, 53, 62))
  return length <= most and try('STRLEN', state) == length and 'y' or 'l'
end

local out = {}
for i = 1, n do out[i] = claim(KEYS[i], KEYS[n + i]) end
return table.concat(out)
