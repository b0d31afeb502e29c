-- Set aside: ARGV: the list of generations as it was read, then the entries that
-- do not verify. Does nothing when the list has changed since.
if not known or gens ~= ARGV[1] then return {'CHANGED'} end
for i = 2, #ARGV do
  local list = ''
  for g in string.gmatch(gens, '[^ ]+') do
    if g ~= ARGV[i] then list = list .. (list == '' and '' or ' ') .. g end
  end
  local k = generation(string.match(ARGV[i], '^%d+'))
  if list ~= gens and redis.call('EXISTS', k) == 1 then quarantine(k) end
  gens = list
end
store()
return {'OK'}
