-- Into raw: every staged line of which all values can be read and no rule is broken.
insert into {raw} (as_of, line, {columns})
select as_of, line, {columns}
from ({lines}) as read
where {wrong} is not true
