# cmake -DIN=FILE -DOUT=FILE.c -DHEADER=layer/x.h -DNAME=SYMBOL -P embed.cmake
# Writes a C file that defines `const struct slice SYMBOL` with the bytes of FILE.
file(READ ${IN} hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR bytes "${digits} / 2")
string(REGEX REPLACE "(................................)" "\\1\n" lines "${hex}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," lines "${lines}")
file(WRITE ${OUT} "#include \"${HEADER}\"\n\nstatic const char bytes[] = {\n${lines}0};\n\nconst struct slice ${NAME} = {bytes, ${bytes}};\n")
