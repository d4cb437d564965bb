autocmd BufRead,BufNewFile *.merit setfiletype merit
