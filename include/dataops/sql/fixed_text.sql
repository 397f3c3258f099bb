-- How values are written until the transaction ends, whatever the session's settings: unambiguous and exact.
set local timezone = 'UTC';
set local datestyle = 'ISO, YMD';
set local extra_float_digits = 1
