-- Claims: raises the epochs of any number of fences, each on its own and in place.
-- KEYS: the fences. ARGV: the epoch. The answer has one letter for each: 'y' when
-- its epoch is that one now, 'n' when it was left as it is, because it is above it,
-- knows of no save, cannot be read, or may not be written.
local KEYS, epoch, try, type, tonumber = KEYS, ARGV[1], redis.pcall, type, tonumber
local find, sub = string.find, string.sub
local mine, zero = tonumber(epoch), '00000000000000000000'

local function claim(fence)
  local head = try('GETRANGE', fence, '0', '52') -- numbers among arguments are slow
  if type(head) ~= 'string' then return 'n' end
  local _, fields = find(head, '^FENCE 2 %d+ %d+ s ')
  if fields ~= 52 or sub(head, 30, 49) == zero then return 'n' end
  local before = sub(head, 9, 28)
  if before == epoch then return 'y' end
  local theirs = tonumber(before)
  if not (theirs and mine and theirs < mine) then return 'n' end -- rounded, but in order
  return type(try('SETRANGE', fence, '8', epoch)) == 'number' and 'y' or 'n'
end

local out = {}
for i = 1, #KEYS do out[i] = claim(KEYS[i]) end
return table.concat(out)
