-- One row per federal holiday of the United States, for the year of the data and the days around it.
create table if not exists reference.holidays (day date primary key, name text not null);

insert into reference.holidays (day, name) values
    ('2012-12-25', 'Christmas Day'),
    ('2013-01-01', 'New Year''s Day'),
    ('2013-01-21', 'Martin Luther King Jr. Day'),
    ('2013-02-18', 'Washington''s Birthday'),
    ('2013-05-27', 'Memorial Day'),
    ('2013-07-04', 'Independence Day'),
    ('2013-09-02', 'Labor Day'),
    ('2013-10-14', 'Columbus Day'),
    ('2013-11-11', 'Veterans Day'),
    ('2013-11-28', 'Thanksgiving Day'),
    ('2013-12-25', 'Christmas Day'),
    ('2014-01-01', 'New Year''s Day')
on conflict (day) do update set name = excluded.name;
